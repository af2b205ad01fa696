"""How often something happened in a window of time, fixed or sliding: pure, bounded, the clock passed in."""

from collections import OrderedDict
from dataclasses import dataclass

MOST_KEYS = 100_000
"""Counters kept at one time; the one that was used longest ago is forgotten first."""


@dataclass(slots=True)
class _Window:
    began: float
    used: int
    before: int


class Windows:
    """Counters by key, for one length of window."""

    def __init__(self, *, sliding: bool = False, most: int = MOST_KEYS) -> None:
        self._sliding = sliding
        self._most = most
        self._windows: OrderedDict[tuple[str, float], _Window] = OrderedDict()

    def take(self, key: str, count: int, seconds: float, now: float, cost: int = 1) -> tuple[bool, int, float]:
        """Whether `cost` fits within `count` per window of `seconds`; how much is left; seconds until there is more.

        Nothing is taken where it does not fit.
        """
        window = self._at(key, seconds, now)
        used = self._used(window, seconds, now) if self._sliding else window.used
        reset = window.began + seconds - now
        if used + cost > count:
            return False, 0, reset
        window.used += cost
        return True, int(count - used - cost), reset

    def add(self, key: str, seconds: float, now: float, cost: int) -> None:
        """Counts `cost` whatever the limit says: it is known only afterwards."""
        self._at(key, seconds, now).used += cost

    def look(self, key: str, count: int, seconds: float, now: float) -> tuple[int, float]:
        """How much is left of `count`, and seconds until there is more."""
        window = self._at(key, seconds, now)
        return max(int(count - self._used(window, seconds, now)), 0), max(window.began + seconds - now, 0.0)

    def _used(self, window: _Window, seconds: float, now: float) -> float:
        if not self._sliding:
            return window.used
        # The window before counts for as much of it as the sliding one still covers.
        return window.used + window.before * max(1 - (now - window.began) / seconds, 0.0)

    def _at(self, key: str, seconds: float, now: float) -> _Window:
        place = (key, seconds)
        known = self._windows.get(place)
        if known is None:
            began = now if not self._sliding else now - now % seconds
            known = self._windows[place] = _Window(began, 0, 0)
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
            return known
        self._windows.move_to_end(place)
        passed = now - known.began
        if passed >= seconds:
            known.before = known.used if passed < 2 * seconds else 0
            known.used = 0
            known.began = now if not self._sliding else now - now % seconds
        return known
