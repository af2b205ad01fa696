"""Counters that several gates share, told of this gate's part now and then: in between it counts alone.

That saves asking Redis for each request. What all gates let through beyond a limit is at most what each lets through in
one interval; what was not told yet is lost where the gate ends.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from tollkeeper.core.ids import Clock
from tollkeeper.routes.redis_client import RedisError
from tollkeeper.routes.shared_windows import SharedWindows


class _Window:
    __slots__ = ("ends_at", "left", "telling", "untold")

    def __init__(self, left: int, ends_at: float) -> None:
        self.left = left
        """Of the limit, as far as is known here."""
        self.ends_at = ends_at
        self.untold = 0
        self.telling: asyncio.Task[None] | None = None


class DelayedWindows:
    """`interval`: seconds between what is told of one key; `failed` is called with why it could not be."""

    def __init__(
        self, shared: SharedWindows, interval: float, monotonic: Clock, most: int, failed: Callable[[str], None]
    ) -> None:
        self._shared = shared
        self._interval = interval
        self._monotonic = monotonic
        self._most = most
        self._failed = failed
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    async def take(self, key: str, count: int, seconds: float, cost: int = 1) -> tuple[bool, int, float]:
        """As `SharedWindows.take`. Raises RedisError where a window begins."""
        now = self._monotonic()
        window = self._windows.get(key)
        if window is None or now >= window.ends_at:
            passes, left, reset = await self._shared.take(key, count, seconds, cost)
            self._begin(key, left, self._monotonic() + reset)
            return passes, left, reset
        self._windows.move_to_end(key)
        if cost > window.left:
            return False, max(window.left, 0), window.ends_at - now
        window.left -= cost
        window.untold += cost
        if window.telling is None:
            window.telling = asyncio.get_running_loop().create_task(self._tell(window, key, count, seconds))
        return True, window.left, window.ends_at - now

    def _begin(self, key: str, left: int, ends_at: float) -> None:
        known = self._windows.get(key)
        if known is not None and self._monotonic() < known.ends_at:
            known.left = min(known.left, left)  # several requests have begun it
            return
        self._windows[key] = _Window(left, ends_at)
        self._windows.move_to_end(key)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)

    async def _tell(self, window: _Window, key: str, count: int, seconds: float) -> None:
        while window.untold:
            await asyncio.sleep(self._interval)
            if self._monotonic() >= window.ends_at and not self._shared.slides:
                break  # it is over, for all gates
            told, window.untold = window.untold, 0
            try:
                left, reset = await self._shared.add(key, count, seconds, told)
            except RedisError as error:
                window.untold += told
                self._failed(error.message)
                if self._monotonic() >= window.ends_at:
                    break
                continue
            window.left = left - window.untold
            window.ends_at = self._monotonic() + reset
        window.telling = None
