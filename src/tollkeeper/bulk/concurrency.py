"""How many calls may be under way: found by additive increase and multiplicative decrease, with a slow start; pure.

Rule 1: one cut an epoch. What was sent before a cut says nothing about the limit after it.
Rule 2: growth needs use. A window that is not filled has proven nothing (Netflix concurrency-limits, AIMDLimit).
Rule 3: a provider's wish to wait delays sending; it does not hold up the next cut or the next growth.
"""

from collections import deque

_QUIET = 5.0
"""Seconds that an epoch lasts at least."""
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
        if not self._epoch_ended or now - self._cut_at < _QUIET or sent_at < self._cut_at:
            return False
        again = self._second_cut
        self._slow_start = False
        self.limit = max(1.0, self.limit * (0.5 if again else 0.7))
        self._cut_at = now
        self._epoch_ended = False
        self._second_cut = True
        return True

    def failed(self, sent_at: float) -> None:
        """A failure that says nothing about rates; where more than a tenth fail so, the window shrinks a little."""
        self._seen(sent_at, failed=True)
        if len(self._recent) == _LOOK and sum(self._recent) * 10 > _LOOK:
            self.limit = max(1.0, self.limit * 0.9)
            self._slow_start = False
            self._recent.clear()

    def _seen(self, sent_at: float, *, failed: bool) -> None:
        self._recent.append(failed)
        if not self._epoch_ended and sent_at >= self._cut_at:
            self._epoch_ended = True
