"""How often, how soon and at whose cost an attempt is made again; pure.

A budget and not a mere number of tries: where every call fails, three tries each are three times the load on what is
failing already. Each upstream earns a fifth of a try with each request it gets and pays a whole one for each retry.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from tollkeeper.core.limits import Seconds

_MOST = 20.0
"""Retries that can be saved up."""
_DEEPEST = -100.0
"""Retries that can be owed: those that the least rate or a healthy target allowed are paid back by later requests."""


class RetryOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[retry]"""

    retries: Annotated[int, Meta(ge=0, le=20)] = 2
    """Attempts of one call at targets that it has asked already, after every other one was asked; 0 = no second attempt
    at all, anywhere."""
    base: Seconds = 0.5
    """Seconds: the n-th of them (from 0) waits between 0 and min(`cap`, `base` × 2^n)."""
    cap: Seconds = 8.0
    """The longest wait, also for what a provider's retry-after asks, where a call has no deadline."""
    budget: Annotated[float, Meta(ge=0, le=10)] = 0.2
    """Retries that each request to an upstream earns it."""
    least: Annotated[int, Meta(ge=0)] = 3
    """Retries a second that an upstream may have in any case."""
    deadline: Seconds | None = None
    """Seconds for a call as a whole, all its attempts and its answer included; x-tollkeeper-timeout can only shorten it."""


class RetryBudget:
    """What one upstream has earned and paid."""

    __slots__ = ("_since", "_used", "credit")

    def __init__(self) -> None:
        self.credit = 0.0
        self._since = float("-inf")
        self._used = 0

    def earn(self, share: float) -> None:
        """A call's first attempt goes to this upstream."""
        credit = self.credit + share
        self.credit = credit if credit < _MOST else _MOST

    def take(self, now: float, least: int) -> bool:
        """Pays for one retry, if that is possible at the time `now` (monotonic)."""
        if now - self._since >= 1.0:
            self._since = now
            self._used = 0
        if self.credit < 1.0 and self._used >= least:
            return False
        self._used += 1
        self.owe()
        return True

    def owe(self) -> None:
        """A call came here from a target that failed, and none may be turned away from one that is well."""
        self.credit = max(self.credit - 1.0, _DEEPEST)


def backoff(options: RetryOptions, number: int, draw: Callable[[], float]) -> float:
    """Seconds before the `number`-th retry (from 0): full jitter, so that those who failed together do not return together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)."""
    return draw() * min(options.cap, options.base * 2.0 ** min(number, 30))


def after_rest(seconds: float, draw: Callable[[], float]) -> float:
    """`seconds` that a provider asked for and a little more, so that not everyone returns at once."""
    return seconds + draw() * min(0.25 * seconds, 10.0)
