"""When the next call may start: the user's rates, and the rates that a provider's answers tell of; pure.

Three things hold a call back: a bucket of requests, a bucket of tokens, and a provider's wish to wait (`retry-after`).
Where a provider tells nothing and refuses most of what comes, its pace is taken from what it does not refuse.
How many may be under way is another matter (see concurrency).
"""

from collections.abc import Callable

from tollkeeper.wire.rate_headers import Allowance

_MARGIN = 0.99
"""Of what a provider allows: clocks differ."""
_MINUTE = 60.0
_LOOK = 5.0
"""Seconds over which refusals and answers are counted where the pace must be guessed."""
_MOSTLY = 0.4
"""The share of refusals from which on they tell of a rate: a pace cut for fewer would only fall and fall."""
_GROWTH = 0.01
"""Of a guessed pace, a second."""


class Bucket:
    """Refills at `rate` a second up to `size`. Times are monotonic seconds."""

    def __init__(self, rate: float, size: float, now: float) -> None:
        self.rate = rate
        self.size = size
        self.level = size
        self._at = now

    def delay(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there; more than the bucket holds needs it full."""
        self._refill(now)
        missing = min(amount, self.size) - self.level
        return missing / self.rate if missing > 1e-9 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Takes it, into debt if need be; a negative amount gives back."""
        self._refill(now)
        self.level = min(self.size, self.level - amount)

    def lower(self, level: float, now: float) -> None:
        """There is no more than `level`, whatever was thought."""
        self._refill(now)
        self.level = min(self.level, level)

    def _refill(self, now: float) -> None:
        if now > self._at:
            self.level = min(self.size, self.level + (now - self._at) * self.rate)
            self._at = now


class Pace:
    """The pace of one job."""

    def __init__(
        self, *, rpm: float | None, tpm: float | None, now: float, uniform: Callable[[float, float], float]
    ) -> None:
        self._requests = None if rpm is None else Bucket(rpm / _MINUTE, max(1.0, rpm / _MINUTE), now)
        self._tokens = None if tpm is None else Bucket(tpm / _MINUTE, max(1.0, tpm / 6), now)
        self._own_requests, self._own_tokens = rpm, tpm
        self._uniform = uniform
        self._closed_until = 0.0
        self._told = False
        self._guess: Bucket | None = None
        self._look_began = now
        self._taken = self._refused = 0
        self.started = 0
        """Calls begun so far; note it before a call to tell `heard` which came after."""
        self.tokens_started = 0.0

    def delay(self, tokens: float, now: float) -> float:
        """Seconds until a call of `tokens` may start; 0 is now."""
        found = self._closed_until - now
        if self._requests is not None:
            found = max(found, self._requests.delay(1.0, now))
        if self._tokens is not None:
            found = max(found, self._tokens.delay(tokens, now))
        if self._guess is not None:
            found = max(found, self._guess.delay(1.0, now))
        return max(0.0, found)

    def start(self, tokens: float, now: float) -> None:
        """A call begins."""
        self.started += 1
        self.tokens_started += tokens
        if self._requests is not None:
            self._requests.take(1.0, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)
        if self._guess is not None:
            self._guess.take(1.0, now)

    def answered(self, refused: bool, now: float) -> None:
        """Whether an answer was a refusal for rate: all that is known where a provider tells of no limits."""
        if self._told:
            return
        if refused:
            self._refused += 1
        else:
            self._taken += 1
        seconds = now - self._look_began
        if seconds < _LOOK:
            return
        if self._refused > _MOSTLY * (self._refused + self._taken):
            rate = max(self._taken, 1) / seconds
            self._guess = Bucket(rate, max(1.0, rate / 4), now)
        elif self._guess is not None:
            self._guess.rate *= 1.0 + _GROWTH * min(seconds, 2 * _LOOK)
            self._guess.size = max(1.0, self._guess.rate / 4)
        self._look_began, self._taken, self._refused = now, 0, 0

    def settle(self, estimated: float, true: float, now: float) -> None:
        """A call has ended that used other than it was thought to."""
        if self._tokens is not None:
            self._tokens.take(true - estimated, now)

    def wait(self, seconds: float, now: float) -> None:
        """A provider asked to wait: nobody starts before, and not all at once after (full jitter on a quarter of it)."""
        seconds = min(seconds, 300.0)
        self._closed_until = max(self._closed_until, now + seconds + self._uniform(0.0, min(0.25 * seconds, 10.0)))

    def heard(
        self, requests: Allowance, tokens: Allowance, started_before: int, tokens_before: float, now: float
    ) -> None:
        """What an answer said; `started_before` and `tokens_before` are `started` and `tokens_started` when it was sent."""
        if requests.limit is not None and requests.remaining is not None:
            self._told, self._guess = True, None
        self._requests = self._learned(
            self._requests, self._own_requests, requests, self.started - started_before - 1, now
        )
        self._tokens = self._learned(self._tokens, self._own_tokens, tokens, self.tokens_started - tokens_before, now)

    @staticmethod
    def _learned(bucket: Bucket | None, own: float | None, told: Allowance, since: float, now: float) -> Bucket | None:
        if told.remaining is None:
            return bucket
        rate = None
        if told.limit is not None and told.limit >= 1:
            rate = told.limit * _MARGIN / _MINUTE
            if (
                told.reset and told.limit > told.remaining
            ):  # a window that is not a minute shows in how long it takes to fill
                rate = min(rate * 2, max(rate / 1440, (told.limit - told.remaining) * _MARGIN / told.reset))
        if bucket is None:
            if rate is None:
                return None
            bucket = Bucket(rate, max(told.limit or 1.0, 1.0), now)
        elif rate is not None and own is None:
            bucket.rate, bucket.size = rate, max(told.limit or 1.0, 1.0)
        bucket.lower(max(told.remaining - since, -bucket.size), now)
        return bucket
