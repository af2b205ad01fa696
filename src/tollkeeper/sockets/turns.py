"""One response on a relayed socket, as an attempt's answer: its events are a stream like any other's.

Rule: `feed` returns when what it was given has gone on its way to the client, or is not wanted any more. So whoever reads
the socket keeps the order of all its messages, and reads no faster than they are taken.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence

from tollkeeper.core.account import Patience, Target
from tollkeeper.core.errors import ClientLeft, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Headers


class Turn:
    """Implements `core.ports.Line` for its one call, and the `core.ports.Sent` that it answers with."""

    def __init__(
        self,
        target: Target,
        monotonic: Clock,
        *,
        say: Callable[[], None] | None,
        cancel: Callable[["Turn"], None],
        event_id: str | None = None,
    ) -> None:
        self.target = target
        self.reused = False
        self.status = 200
        self.id: str | None = None
        """The response's, once it is known."""
        self.event_id = event_id
        """The client's name for the event that asked for it."""
        self.said = asyncio.Event()
        """Set when it was sent to the provider, or never will be."""
        self.over = False
        self.sent_at = self.first_byte_at = self.last_byte_at = monotonic()
        self.headers: Headers = [(b"content-type", b"text/event-stream")]
        self._monotonic = monotonic
        self._say = say
        self._cancel = cancel
        self._parts: list[bytes] = []
        self._complete = False
        self._error: TollkeeperError | None = None
        self._push: Callable[[bytes], bool] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None
        self._pouring = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._patience = Patience()

    # --- core.ports.Outbound ----------------------------------------------------------------------------------------

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> "Turn":
        """What the client said goes to the provider now; a response that the provider began is only followed."""
        self.sent_at = self._monotonic()
        self._patience = timeouts
        self.limit_to(timeouts.total)
        if self._say is not None:
            self._look_later(timeouts.first_byte)
        if self._say is not None:
            self._say()
        self.said.set()
        return self

    # --- from the socket --------------------------------------------------------------------------------------------

    async def feed(self, data: bytes, last: bool) -> None:
        """One of its messages."""
        if self.over:
            return
        now = self.last_byte_at = self._monotonic()
        if not self._parts and not self._pouring:
            self.first_byte_at = now
        self._complete = self._complete or last
        data = b"data: " + data.replace(b"\n", b" ") + b"\n\n"
        push = self._push
        if push is not None:
            if not push(data) or last:
                self._push = None
                self._wake()
        else:
            self._parts.append(data)
            self._wake()
        while not self.over and (self._parts or not self._pouring):
            self._taken = asyncio.get_running_loop().create_future()
            await self._taken

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Its whole answer is no stream, but this JSON."""
        self.status = status
        self.headers = [(b"content-type", b"application/json"), *headers]
        self.first_byte_at = self.last_byte_at = self._monotonic()
        self._parts.append(body)
        self._complete = True
        self._wake()

    def fail(self, error: TollkeeperError) -> None:
        """Nothing more will come."""
        if self._error is None and not self._complete:
            self._error = error
            self._wake()

    def end(self) -> None:
        """Its call is over: whatever still comes of it is nobody's."""
        self.over = True
        for timer in (self._timer, self._quiet):
            if timer is not None:
                timer.cancel()
        self.said.set()
        self._let_on()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    def _let_on(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and not taken.done():
            taken.set_result(None)

    # --- core.ports.Sent --------------------------------------------------------------------------------------------

    async def head(self) -> None:
        """The first message is here. Raises UpstreamError."""
        while not self._parts:
            if self._error is not None:
                raise copy.copy(self._error)
            await self._change(None)

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        while True:
            if self._parts:
                return self._take()
            if self._error is not None:
                raise copy.copy(self._error)
            if self._complete:
                return None
            await self._change(timeout)

    async def pour(self, push: Callable[[bytes], bool], quiet: float | None = None) -> bool:
        self._pouring = True
        if self._parts and not push(self._take()):
            return False
        self._let_on()
        while not self._complete:
            if self._error is not None:
                raise copy.copy(self._error)
            self._push = push
            try:
                await self._change(quiet)
            finally:
                stopped = self._push is None
                self._push = None
            if stopped and not self._complete:
                return False
        return True

    def arrived(self) -> bytes | None:
        return None

    async def read(self, limit: int) -> tuple[bytes, bool]:
        parts = []
        while (part := await self.next_chunk()) is not None:
            parts.append(part)
        return b"".join(parts), True

    def close(self) -> None:
        if not self._complete and self._error is None:
            self._error = ClientLeft("The client left.")
            self._cancel(self)
            self._wake()

    def limit_to(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        late = UpstreamError(f"The response took over {seconds:g} s.", status=504, code="upstream_deadline")
        self._timer = asyncio.get_running_loop().call_later(seconds, self.fail, late)

    def _look_later(self, seconds: float) -> None:
        self._quiet = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Whether the provider has been silent for too long."""
        begun = self.last_byte_at > self.sent_at
        most = self._patience.idle if begun else self._patience.first_byte
        left = most - (self._monotonic() - max(self.last_byte_at, self.sent_at))
        if left > 0:
            self._look_later(left)
        elif begun:
            self.fail(UpstreamError(f"The response stalled for {most:g} s.", status=504, code="upstream_stalled"))
        else:
            words = f"The provider did not answer within {most:g} s."
            self.fail(UpstreamError(words, status=504, code="upstream_timeout"))

    def _take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        if self._pouring:
            self._let_on()
        return data

    async def _change(self, timeout: float | None) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout):
            await self._changed
