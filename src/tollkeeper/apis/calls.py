"""The model calls that one request to a Python API makes: each with the caller's key, limits and budget, and its own event.

Rule 1: their ids are the request's, with a number after it: `ID.1`, `ID.2`, so that they are found with it.
Rule 2: a call outlives the function that made it until it is settled: a function that is cut off, or whose client left,
        leaves its calls as a client does (drain or cancel, by provider), and is charged as for one.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from tollkeeper.apis import completions
from tollkeeper.apis.asked import Pieces
from tollkeeper.apis.completions import Overheard
from tollkeeper.core.call import Call, Presence, Reply
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Dialect, Handler
from tollkeeper.dialects import openai_chat

Result = TypeVar("Result")
_HEADERS = [(b"content-type", b"application/json")]
_encode = msgspec.json.Encoder().encode


class _Said(msgspec.Struct):
    message: str = "The provider refused the call."
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Refusal(msgspec.Struct):
    error: _Said


class Calls:
    """Those of one request."""

    def __init__(self, asked: Call, handle: Handler, tasks: set[asyncio.Task[Any]], monotonic: Clock) -> None:
        self.asked = asked
        self._handle = handle
        self._tasks = tasks
        self._monotonic = monotonic
        self._number = 0
        self._presence = Presence()
        """Left when the request is over, or when its client leaves."""
        asked.presence.on_leave(self._presence.leave)

    def end(self) -> None:
        """The request is over: whatever it still has under way is left."""
        self._presence.leave()

    async def whole(self, dialect: Dialect, path: str, members: dict[str, Any]) -> bytes:
        """A whole answer's body. Raises TollkeeperError."""
        call = self._call(dialect, path, members, streamed=False)

        async def made() -> bytes:
            reply = await self._handle(call)
            body = await completions.whole_body(reply)
            _check(reply, body)
            return body

        return await self._lasting(made(), call)

    async def stream(self, members: dict[str, Any], pieces: Pieces) -> None:
        """Pours a chat's text. Raises TollkeeperError. Cancelled, it leaves the call, which goes on until it is settled."""
        call = self._call(openai_chat.DIALECT, "chat/completions", {**members, "stream": True}, streamed=True)

        async def made() -> None:
            reply = await self._handle(call)
            if reply.pour is None:
                _check(reply, reply.body)
                text = completions.completion(reply.body).choices[0].message.content
                pieces.take([_encode(text)] if text else [])
                return
            overheard = Overheard(pieces)
            await reply.pour(overheard)
            if overheard.complaint is not None:
                raise overheard.complaint

        await self._lasting(made(), call)

    async def _lasting(self, made: Coroutine[Any, Any, Result], call: Call) -> Result:
        task = asyncio.get_running_loop().create_task(made)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            call.presence.leave()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: who waited for it has it, and where nobody did, its event says how it ended

    def outside(self, dialect: Dialect, method: str, path: str) -> Call:
        """The record of a call of another API than a model's. Raises ClientLeft."""
        return self._made(dialect, method, path)

    def _call(self, dialect: Dialect, path: str, members: dict[str, Any], *, streamed: bool) -> Call:
        try:
            encoded = {name: _encode(value) for name, value in members.items()}
        except (TypeError, ValueError) as error:
            raise TollkeeperError(f"The call of the model cannot be written: {error}.", code="api_failed") from None
        call = self._made(dialect, "POST", path)
        call.body = b"{" + b",".join([_encode(name) + b":" + value for name, value in encoded.items()]) + b"}"
        call.members = {name: Raw(value) for name, value in encoded.items()}
        call.model = members["model"]
        call.streamed = streamed
        return call

    def _made(self, dialect: Dialect, method: str, path: str) -> Call:
        if self._presence.gone:
            raise ClientLeft("The client left.")
        asked = self.asked
        self._number += 1
        presence = Presence()
        self._presence.on_leave(presence.leave)
        now = self._monotonic()
        return Call(
            request_id=f"{asked.request_id}.{self._number}",
            key=asked.key,
            dialect=dialect,
            method=method,
            path=path,
            query=b"",
            headers=list(_HEADERS),
            named=dict(_HEADERS),
            body=b"",
            model=None,
            streamed=False,
            accepted_at=now,
            presence=presence,
            timeout=None if asked.timeout is None else max(0.001, asked.accepted_at + asked.timeout - now),
            session=asked.session,
        )


def _check(reply: Reply, body: bytes) -> None:
    """A provider's refusal becomes an error of ours, with its words and its status."""
    if reply.status < 400:
        return
    try:
        said = msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.DecodeError, RecursionError):
        said = _Said()
    kind = CallerError if reply.status < 500 else UpstreamError
    raise kind(
        said.message,
        status=reply.status,
        type=said.type,
        code=str(said.code) if said.code is not None else "upstream_error",
        param=said.param,
    )
