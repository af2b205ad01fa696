"""How often a caller may come to /mcp and to the operator port: a client that goes round in circles is slowed down."""

import math
from collections.abc import Callable

from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.leaky import LeakyBuckets


class Pacing:
    """A bucket for each caller. `per_minute` is asked each time: the config may change."""

    def __init__(self, per_minute: Callable[[], int], monotonic: Clock) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._amount = 0
        self._buckets = LeakyBuckets(1.0, 0.0)

    def take(self, caller: str) -> None:
        """Raises CallerError (429) where it came too often."""
        amount = self._per_minute()
        if amount != self._amount:
            self._amount, self._buckets = amount, LeakyBuckets(amount / 60, amount - 1)
        if self._buckets.take(caller, self._monotonic()) is None:
            wait = math.ceil(60 / amount)
            raise CallerError(
                f"More than {amount} requests a minute: try again in {wait} s.",
                status=429,
                code="rate_limit_exceeded",
                headers=((b"retry-after", b"%d" % wait),),
            )
