"""Functions that are not `async` run on threads of their own, so that one that blocks holds up nobody else.

Threads are daemons: one that never returns is waited for neither by its caller, beyond the time-out, nor at shutdown.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

_OVER = object()


class Threads:
    """So many at one time; others wait for their turn."""

    def __init__(self, most: int) -> None:
        self._room = asyncio.Semaphore(most)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns. Raises what it raises. Cancelled, it lets the thread go on and keeps its place."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()

        def end(value: Any, error: BaseException | None) -> None:
            self._room.release()
            if ended.done():
                return
            if error is None:
                ended.set_result(value)
            else:
                ended.set_exception(error)

        def work() -> None:
            value, error = None, None
            try:
                value = function(*arguments)
            except Exception as raised:
                error = raised
            except BaseException as raised:  # SystemExit and the like end a thread, not the gate
                error = RuntimeError(f"{type(raised).__name__}: {raised}")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, value, error)

        threading.Thread(target=work, daemon=True).start()
        return await ended

    async def pieces(self, made: Iterator[Any]) -> AsyncIterator[Any]:
        """What a generator yields, each step on a thread."""
        try:
            while (piece := await self.run(next, made, _OVER)) is not _OVER:
                yield piece
        finally:
            close = getattr(made, "close", None)
            with contextlib.suppress(ValueError):  # its thread is inside it still
                if close is not None:
                    close()
