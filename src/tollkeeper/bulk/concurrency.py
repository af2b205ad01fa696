"""How many calls may be under way: found by additive increase and multiplicative decrease, with a slow start; pure.

Rule 1: one cut an epoch. What was sent before a cut says nothing about the limit after it.
Rule 2: growth needs use. A window that is not filled has proven nothing (Netflix concurrency-limits, AIMDLimit).
Rule 3: a refusal costs little, a window that is too small costs much: after the first cut, none is made while fewer than
two in five are refused. Where more calls at once bring more answers in proportion, it is not their number that is refused,
and the window grows as at the beginning.
Rule 4: refusals that come from the first calls on, when the fewest are under way, tell nothing of the window until it has
doubled: the slow start goes on while they are few and answers grow with it.
Rule 5: a provider's wish to wait delays sending; it does not hold up the next cut or the next growth.
"""

import math
from collections import deque

_QUIET = 5.0
"""Seconds that an epoch lasts at least."""
_FAILING = 0.3
"""The share of failures from which on the window shrinks."""
_LOOK = 100
"""Outcomes that the share of failures is taken over."""
_ENOUGH = 30
"""Outcomes of an epoch that tell a share of refusals."""
_BEARABLE = 0.4
"""The share of refusals up to which there is no second cut."""
_OTHER = 1.25
"""The ratio of two windows that are told apart."""
_DOUBLED = 2.0
"""The growth of a slow start after which its refusals are judged."""
_IN_PROPORTION = 0.75
"""How much more is answered, as a power of how much more is asked at once."""


class Concurrency:
    """The window. `most` is the user's bound, which is never passed; times are monotonic seconds."""

    def __init__(self, most: int, start: int = 16) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self._slow_start = self._never_cut = True
        self._cut_at = self._refused_at = -_QUIET
        self._epoch_ended = True
        self._second_cut = False
        self._since_cut = self._refused_since_cut = 0
        self._before: tuple[float, float] | None = None
        """The window and the share of refusals of an epoch that others are compared with."""
        self._unrelated = False
        """Whether it is not the number of calls that is refused."""
        self._recent: deque[bool] = deque(maxlen=_LOOK)

    @property
    def window(self) -> int:
        """Calls that may be under way now, at least one."""
        return int(self.limit)

    def succeeded(self, sent_at: float, under_way: int) -> None:
        """A call was answered well at the first try, while `under_way` calls (itself included) were out."""
        self._seen(sent_at, failed=False)
        if self._epoch_ended and sent_at >= self._refused_at + _QUIET:
            self._second_cut = False
        if under_way < self.limit / 2:
            return
        step = 1.0 if self._slow_start else max(1.0, 0.05 * self.limit) / self.limit
        self.limit = min(float(self.most), self.limit + step)

    def throttled(self, sent_at: float, now: float) -> bool:
        """The provider said: too many. Returns whether the window was cut."""
        self._seen(sent_at, failed=False)
        self._refused_since_cut += 1
        self._refused_at = now
        if self._never_cut and self._came_from_the_first():
            return False
        if not self._epoch_ended or now - self._cut_at < _QUIET or sent_at < self._cut_at:
            return False
        self._never_cut = False
        before = self.limit
        if not self._second_cut:
            self._before, self._unrelated = None, False
            self.limit = max(1.0, self.limit * 0.7)
        else:
            share = self._refused_since_cut / self._since_cut
            self._compare(share)
            if not self._unrelated and share > _BEARABLE:
                self.limit = max(1.0, self.limit * (1.0 - min(0.5, share * share)))
        self._slow_start = self._unrelated
        self._since_cut = self._refused_since_cut = 0
        self._cut_at = now
        self._epoch_ended = False
        self._second_cut = True
        return self.limit < before

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

    def _came_from_the_first(self) -> bool:
        """Whether the first cut waits, as this refusal may have nothing to do with the window."""
        if self._before is None and self._refused_since_cut == 1 and self._since_cut > _ENOUGH:
            return False
        if self._since_cut < (_ENOUGH if self._before is None else _LOOK):
            return True
        share = self._refused_since_cut / self._since_cut
        if share > _BEARABLE:
            return False
        if self._before is None or self.limit >= _DOUBLED * self._before[0]:
            judged = self._before is not None
            self._compare(share)
            if judged and not self._unrelated:
                return False
        self._since_cut = self._refused_since_cut = 0
        return True

    def _compare(self, share: float) -> None:
        """Finds out whether refusals hang on the window, as soon as it has been two sizes that differ enough."""
        if self._since_cut < _ENOUGH or share >= 1.0:
            return
        if self._before is None:
            self._before = self.limit, share
            return
        window, refused = self._before
        more = math.log(self.limit / window)
        if abs(more) < math.log(_OTHER):
            return
        answered = math.log(self.limit * (1.0 - share) / (window * (1.0 - refused)))
        self._unrelated = answered / more >= _IN_PROPORTION
        self._before = self.limit, share
