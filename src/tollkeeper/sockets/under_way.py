"""The calls under way on one socket: counted, told that their client has left, waited for at the end."""

import asyncio
from collections.abc import Iterator

from tollkeeper.core.call import Presence


class UnderWay:
    """One socket's: their tasks, as many as it is long."""

    __slots__ = ("_calls", "_gone")

    def __init__(self) -> None:
        self._calls: dict[asyncio.Task[None], Presence] = {}
        self._gone = False

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._calls)

    def add(self, task: asyncio.Task[None], presence: Presence) -> None:
        """One more, until `remove`. Where the client has left already, it is told so at once."""
        self._calls[task] = presence
        if self._gone:
            presence.leave()

    def remove(self, task: asyncio.Task[None]) -> None:
        """One that is over. Raises KeyError where it was not added."""
        del self._calls[task]

    def leave(self) -> None:
        """The client is gone."""
        self._gone = True
        for presence in list(self._calls.values()):
            presence.leave()

    async def ended(self) -> None:
        """Waits for all of them, later ones too. If cancelled, cancels them."""
        while self._calls:
            try:
                await asyncio.wait(self._calls)
            except asyncio.CancelledError:
                for task in self._calls:
                    task.cancel()
                raise
