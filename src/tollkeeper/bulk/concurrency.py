"""How many calls may be under way: found by additive increase and multiplicative decrease, with a slow start; pure.

Rule 1: one cut an epoch. What was sent before a cut says nothing about the limit after it.
Rule 2: growth needs use. A window that is not filled has proven nothing (Netflix concurrency-limits, AIMDLimit).
Rule 3: a cut that did not help is not made again as hard. Where fewer calls at once leave the share of refusals as it
is, it is not their number that is refused.
Rule 4: a provider's wish to wait delays sending; it does not hold up the next cut or the next growth.
"""

from collections import deque

_QUIET = 5.0
"""Seconds that an epoch lasts at least."""
_FAILING = 0.3
"""The share of failures from which on the window shrinks."""
_LOOK = 50
"""Outcomes that the share of failures is taken over."""


class Concurrency:
    """The window. `most` is the user's bound, which is never passed; times are monotonic seconds."""

    def __init__(self, most: int, start: int = 16) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self._slow_start = True
        self._cut_at = -_QUIET
        self._epoch_ended = True
        self._second_cut = False
        self._since_cut = self._refused_since_cut = 0
        self._recent: deque[bool] = deque(maxlen=_LOOK)

    @property
    def window(self) -> int:
        """Calls that may be under way now, at least one."""
        return int(self.limit)

    def succeeded(self, sent_at: float, under_way: int) -> None:
        """A call was answered well at the first try, while `under_way` calls (itself included) were out."""
        self._seen(sent_at, failed=False)
        if self._epoch_ended and sent_at >= self._cut_at + _QUIET:
            self._second_cut = False
        if under_way < self.limit / 2:
            return
        step = 1.0 if self._slow_start else max(1.0, 0.05 * self.limit) / self.limit
        self.limit = min(float(self.most), self.limit + step)

    def throttled(self, sent_at: float, now: float) -> bool:
        """The provider said: too many. Returns whether the window was cut."""
        self._seen(sent_at, failed=False)
        self._refused_since_cut += 1
        if not self._epoch_ended or now - self._cut_at < _QUIET or sent_at < self._cut_at:
            return False
        self._slow_start = False
        self.limit = max(1.0, self.limit * (1.0 - (0.5 * self._severity() if self._second_cut else 0.3)))
        self._since_cut = self._refused_since_cut = 0
        self._cut_at = now
        self._epoch_ended = False
        self._second_cut = True
        return True

    def failed(self, sent_at: float) -> None:
        """A failure that says nothing about rates; where many fail so, the window shrinks a little."""
        self._seen(sent_at, failed=True)
        if len(self._recent) == _LOOK and sum(self._recent) > _FAILING * _LOOK:
            self.limit = max(1.0, self.limit * 0.9)
            self._slow_start = False
            self._recent.clear()

    def _seen(self, sent_at: float, *, failed: bool) -> None:
        self._recent.append(failed)
        self._since_cut += 1
        if not self._epoch_ended and sent_at >= self._cut_at:
            self._epoch_ended = True

    def _severity(self) -> float:
        """0 to 1: 1 where most is refused, little where a few are."""
        share = self._refused_since_cut / max(1, self._since_cut)
        return min(1.0, 2.0 * share * share)
