"""An answer's pieces as they come, for all who follow it: each gets every piece, at its own pace, from the first on.

A listener who has all there is gets the next piece by a plain call, no task is woken for it. What is kept is bounded: past
the bound the recording lets go of its beginning. Nobody can join it then; who listens already gets the rest, and the
slowest of them sets the pace.
"""

import asyncio
from collections.abc import Awaitable

from tollkeeper.core.call import Sink

WINDOW = 256 * 1024
"""Bytes that a recording which has let go of its beginning keeps for slow listeners before the sender has to wait."""


class Room:
    """How many bytes all recordings under way may take together."""

    __slots__ = ("most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0


class Listener:
    """One who is to get every piece: from when `listen` gave it, though its sink comes later."""

    __slots__ = ("at", "live", "wake")

    def __init__(self, at: int) -> None:
        self.at = at
        """The number of the next piece."""
        self.live: Sink | None = None
        """Set while it has all there is: what comes goes into it at once."""
        self.wake: asyncio.Future[None] | None = None

    def rouse(self) -> None:
        """Its own task goes on."""
        self.live = None
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class Recording:
    """Implements `core.call.Sink` for whoever pours the answer; `pour` pours it on."""

    def __init__(self, most: int, room: Room) -> None:
        self.whole = True
        """Whether all pieces are still here."""
        self.ended = False
        self._most = most
        self._room = room
        self._pieces: list[bytes] = []
        self._size = 0
        self._gone = 0
        self._listeners: list[Listener] = []
        self._wanted: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """What is here: the whole answer where it is `whole` and has ended."""
        return tuple(self._pieces)

    # --- for whoever pours the answer -------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._pieces.append(data)
        self._size += len(data)
        self._room.used += len(data)
        for listener in self._listeners:
            sink = listener.live
            if sink is not None:
                sink.write(data)
                listener.at += 1
                if sink.blocked is not None:
                    listener.rouse()
        if not self.whole:
            self._let_go()
        elif self._size > self._most or self._room.used > self._room.most:
            self.whole = False
            self._let_go()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self.whole or self._size <= WINDOW:
            return None
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
        return self._wanted

    def end(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; with a `failure`, listeners are told of it after the last piece."""
        self.ended = True
        self._failure = failure
        for listener in self._listeners:
            listener.rouse()
        self._room.used -= self._size

    # --- for those who listen ---------------------------------------------------------------------------------------

    def listen(self) -> Listener:
        """From here on nothing is let go that this listener has not had: whoever asks must `pour` or `leave`."""
        listener = Listener(self._gone)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """This one needs nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._taken()

    async def pour(self, listener: Listener, sink: Sink) -> None:
        """Pours everything into `sink`, to the end. Raises what `end` was told."""
        try:
            while True:
                while listener.at < self._gone + len(self._pieces):
                    sink.write(self._pieces[listener.at - self._gone])
                    listener.at += 1
                    blocked = sink.blocked
                    if blocked is not None:
                        self._taken()
                        await blocked
                self._taken()
                if self.ended:
                    break
                listener.wake = asyncio.get_running_loop().create_future()
                listener.live = sink
                await listener.wake
                blocked = sink.blocked
                if blocked is not None:
                    await blocked
        finally:
            listener.live = None
            self.leave(listener)
        if self._failure is not None:
            raise self._failure

    def _taken(self) -> None:
        if not self.whole:
            self._let_go()

    def _let_go(self) -> None:
        """Drops the pieces that every listener has."""
        if self.ended:
            return
        last = self._gone + len(self._pieces)
        first = min((listener.at for listener in self._listeners), default=last)
        if first > self._gone:
            dropped = sum(map(len, self._pieces[: first - self._gone]))
            del self._pieces[: first - self._gone]
            self._gone = first
            self._size -= dropped
            self._room.used -= dropped
        if self._wanted is not None and self._size <= WINDOW:
            wanted, self._wanted = self._wanted, None
            if not wanted.done():
                wanted.set_result(None)
