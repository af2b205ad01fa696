"""Which targets of a model a call asks, in which order; pure.

Left out are targets that are full, rest after a 429, have had their key refused, or are ejected. Of a model's targets only
a share may be ejected at one time and never the last: those beyond it come last instead. Where nothing is left, what is
nearest to being well is asked all the same: a provider's own answer is worth more than one that we make up.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from operator import itemgetter

from tollkeeper.core.account import Balancing, Strategy, Target
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.flow.health import HealthOptions, TargetHealth

Draw = Callable[[], float]
"""A random number in [0, 1)."""

_first_of, _second_of = itemgetter(0), itemgetter(1)
_TYPICAL = Usage(input_tokens=3000, output_tokens=1000)
"""What least-cost compares prices by: three parts input, one part output."""
_UNKNOWN = 1.0
"""Seconds to the first byte where no target's are known."""


class Member:
    """One target in one model's pool."""

    __slots__ = ("cost", "name", "state", "target")

    def __init__(self, target: Target, state: TargetHealth) -> None:
        self.target = target
        self.state = state
        self.name = target.name
        self.cost: int | None = None
        """Nano-USD of a typical call; None where no price is known."""

    @property
    def full(self) -> bool:
        most = self.target.concurrency
        return most is not None and self.state.in_flight >= most

    def price(self, price: Price | None) -> None:
        """What least-cost goes by."""
        self.cost = None if price is None else price.cost(_TYPICAL)


class Pool:
    """The targets of one model name."""

    __slots__ = ("balancing", "members", "priced", "single")

    def __init__(self, members: Sequence[Member], balancing: Balancing) -> None:
        self.members = list(members)
        self.balancing = balancing
        self.single = len(self.members) == 1
        self.priced = False
        """Whether the members' costs have been looked up."""


class Choice:
    """Candidates, the best first, why the first one is that, and why others are not among them."""

    __slots__ = ("order", "reason", "skipped")

    def __init__(self, order: list[Member], reason: str, skipped: list[tuple[Member, str]]) -> None:
        self.order = order
        self.reason = reason
        self.skipped = skipped


def choose(
    pool: Pool, options: HealthOptions, now: float, draw: Draw, *, streamed: bool = False, session: str | None = None
) -> Choice:
    """The order in which a call made `now` (monotonic) asks. Empty only where every target is full."""
    ready: list[Member] = []
    out: list[Member] = []
    resting: list[tuple[float, Member]] = []
    skipped: list[tuple[Member, str]] = []
    probe: Member | None = None
    recovering = False
    since = now - options.slow_start
    for member in pool.members:
        state = member.state
        most = member.target.concurrency
        if most is not None and state.in_flight >= most:
            skipped.append((member, "full"))
        elif state.account.key_rests_until > now:
            skipped.append((member, "key_ejected"))
            resting.append((state.account.key_rests_until + 1e9, member))  # the least likely to be well
        elif state.cooled_until > now:
            skipped.append((member, "cooled"))
            resting.append((state.cooled_until, member))
        elif not state.ejected_until:
            ready.append(member)
            recovering = recovering or state.back_at > since
        elif probe is None and now >= state.ejected_until and not state.probing:
            probe = member
        else:
            out.append(member)
    order, reason = _ranked(pool.balancing, ready, now, draw, streamed, session, recovering)
    if probe is not None:
        order.insert(0, probe)
        reason = "probe"
    if out:
        out.sort(key=lambda member: member.state.ejected_until)
        beyond = len(out) - most_ejected(len(pool.members), options.share)
        if not order:
            beyond = len(out)
        if beyond > 0:
            order += out[:beyond]
            out = out[beyond:]
        skipped += [(member, "ejected") for member in out]
    if not order and resting:
        resting.sort(key=lambda rest: rest[0])
        order = [member for _, member in resting]
        reason = "last"
        skipped = [skip for skip in skipped if skip[1] == "full"]
    return Choice(order, reason if ready or probe else "last", skipped)


def most_ejected(targets: int, share: float) -> int:
    """How many of so many may be ejected at one time: `share`, rounded up, and never the last one."""
    return min(math.ceil(targets * share), targets - 1)


def _ranked(
    balancing: Balancing,
    ready: list[Member],
    now: float,
    draw: Draw,
    streamed: bool,
    session: str | None,
    recovering: bool,
) -> tuple[list[Member], str]:
    """`recovering`: whether any of them came back of late and is yet to get its full share."""
    if len(ready) < 2 or (balancing.strategy == "ordered" and not recovering and session is None):
        return ready, balancing.strategy
    if session is not None and balancing.affinity:
        return sorted(ready, key=lambda member: -_kinship(session, member, now)), "session"
    return _STRATEGIES[balancing.strategy](ready, now, draw, streamed), balancing.strategy


def _kinship(session: str, member: Member, now: float) -> float:
    """Weighted rendezvous: each session ranks every target for itself, so that one which goes moves only its own sessions
    (Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998)."""
    digest = blake2b(f"{session}\0{member.name}".encode(), digest_size=8).digest()
    drawn = (int.from_bytes(digest, "big") + 1) / (2**64 + 2)
    return -member.target.weight * member.state.trust(now) / math.log(drawn)


def _ordered(ready: list[Member], now: float, draw: Draw, streamed: bool) -> list[Member]:
    trusted: list[Member] = []
    later: list[Member] = []
    for member in ready:
        trust = member.state.trust(now)
        (trusted if trust == 1.0 or draw() < trust else later).append(member)
    return trusted + later


def _weighted(ready: list[Member], now: float, draw: Draw, streamed: bool) -> list[Member]:
    """Drawn without putting back, by weight (Efraimidis and Spirakis, 2006)."""
    keyed = []
    for member in ready:
        weight = member.target.weight * member.state.trust(now)
        keyed.append((math.log(1.0 - draw()) / weight, member))
    keyed.sort(key=_first_of, reverse=True)
    return [member for _, member in keyed]


def _least_latency(ready: list[Member], now: float, draw: Draw, streamed: bool) -> list[Member]:
    """The better of two drawn at random, so that not every call of a moment goes to the one that looks best."""
    known = [member.state.latency_of(streamed, now) for member in ready]
    heard = [seconds for seconds in known if seconds is not None]
    usual = sum(heard) / len(heard) if heard else _UNKNOWN
    scored = []
    for member, seconds in zip(ready, known, strict=True):
        state = member.state
        load = (state.in_flight + 1) / member.target.weight
        scored.append(((usual if seconds is None else seconds) * load / state.trust(now), draw(), member))
    scored.sort(key=_second_of)
    first = (scored[0] if scored[0][0] <= scored[1][0] else scored[1])[2]
    scored.sort(key=_first_of)
    return [first, *(member for _, _, member in scored if member is not first)]


def _least_cost(ready: list[Member], now: float, draw: Draw, streamed: bool) -> list[Member]:
    """The cheapest first; what has no known price last; equals in their order."""
    costs = sorted(ready, key=lambda member: (member.cost is None, member.cost or 0))
    return _ordered(costs, now, draw, streamed)


_STRATEGIES: dict[Strategy, Callable[[list[Member], float, Draw, bool], list[Member]]] = {
    "ordered": _ordered,
    "weighted": _weighted,
    "least-latency": _least_latency,
    "least-cost": _least_cost,
}
