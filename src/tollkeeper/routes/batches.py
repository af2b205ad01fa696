"""Lines that are sent off in batches, so that no request waits for them: bounded, tried again, and let go in the end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

Deliver = Callable[[Sequence[bytes]], Awaitable[None]]
"""Sends one batch; raises where it was not taken."""
MOST_PENDING = 10_000


class Batches:
    """Sends what is put in: `size` lines at once, or what there is after `quiet` seconds without more, or `longest`."""

    def __init__(
        self,
        deliver: Deliver,
        lost: Callable[[int, str], None],
        *,
        size: int,
        quiet: float,
        longest: float,
        retries: int,
        pause: float,
    ) -> None:
        self._deliver = deliver
        self._lost = lost
        self._size = size
        self._quiet = quiet
        self._longest = longest
        self._retries = retries
        self._pause = pause
        self._waiting: list[bytes] = []
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0

    def put(self, line: bytes) -> None:
        """Never waits. What is too much is counted as lost."""
        if len(self._waiting) + self._under_way >= MOST_PENDING:
            self._lost(1, "too many lines are waiting")
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._since = loop.time()
        self._waiting.append(line)
        if len(self._waiting) >= self._size:
            self.flush()
            return
        if self._timer is not None:
            self._timer.cancel()
        wait = min(self._quiet, self._since + self._longest - loop.time())
        self._timer = loop.call_later(max(wait, 0.0), self.flush)

    def flush(self) -> None:
        """Sends what there is now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._under_way += len(batch)
        task = asyncio.get_running_loop().create_task(self._sent(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sent(self, batch: list[bytes]) -> None:
        try:
            for left in range(self._retries, -1, -1):
                try:
                    await self._deliver(batch)
                    return
                except Exception as error:
                    if not left:
                        self._lost(len(batch), str(error))
                        return
                await asyncio.sleep(self._pause)
        finally:
            self._under_way -= len(batch)
