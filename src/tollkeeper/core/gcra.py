"""The generic cell rate algorithm (ITU-T I.371) on integers, kept as what is owed: pure, exact, free of drift.

A unit taken under "`amount` per `span`" owes `span`; what is owed melts by `amount` a microsecond. So a unit is paid off
after `span / amount` microseconds without a fraction being rounded anywhere, and what is owed says nothing of the amount:
it stays true when the amount changes. (The algorithm's theoretical arrival time is now + owed / amount.)

Rule: in any span of time W no more passes than burst + W * amount / span. A cost above the burst passes when nothing is
owed, so that it has to wait for a full allowance and does not starve.
"""

from msgspec import Struct

from tollkeeper.core.rate import RateLimit

Standing = tuple[int, int, int]
"""What could be taken at once; microseconds until nothing is owed; microseconds to wait for what was asked for: 0 where it
is admitted, UNKNOWN where that is a matter of others' calls ending."""

UNKNOWN = -1
_MICROSECONDS = 1_000_000


class Allowance(Struct, frozen=True, kw_only=True):
    """A rate limit made ready to count with."""

    id: str
    limit: RateLimit
    amount: int
    span: int
    """Microseconds; 0 for a limit of calls under way."""
    most: int
    """How much may be owed after a rest: the burst's worth."""


def allowance(limit: RateLimit) -> Allowance:
    """`limit` made ready."""
    span = 0 if limit.dimension == "concurrency" else limit.per * _MICROSECONDS
    return Allowance(id=limit.id, limit=limit, amount=limit.amount, span=span, most=limit.at_once * span)


def melted(owed: int, microseconds: int, amount: int) -> int:
    """What is left of `owed` after so many microseconds; a clock that went back counts as one that stood still."""
    if microseconds <= 0:
        return owed
    left = owed - microseconds * amount
    return left if left > 0 else 0


def standing(owed: int, cost: int, of: Allowance) -> Standing:
    """How `cost` fares where so much is `owed` now; where it is admitted, as it is once `cost` is taken."""
    span, amount = of.span, of.amount
    most = of.most
    after = owed + cost * span
    over = after - (most if most > cost * span else cost * span)
    if over > 0 and cost:
        left = most - owed
        return (left // span if left > 0 else 0), -(-owed // amount), -(-over // amount)
    left = most - after
    return (left // span if left > 0 else 0), -(-after // amount), 0
