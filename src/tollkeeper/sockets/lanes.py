"""Responses over a provider's own socket: one for each account that a client's socket speaks with, told apart by lane.

See https://platform.openai.com/docs/guides/websocket-mode. Each attempt goes through the engine as over HTTP: held,
limited, metered; only the way out is another. What the provider keeps for one socket (`store: false`, `generate: false`)
it keeps for this client's.

Rule 1: in one lane (`stream_id`) events belong to the oldest request that has not ended.
Rule 2: a response that nobody asked for, as after `response.steer`, is a call of its own, held when it has begun.
Rule 3: where the provider opens no socket, a request goes over HTTP.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core import redaction
from tollkeeper.core.account import Account, Patience, Target
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Connector, Duplex, Outbound, Sent
from tollkeeper.dialects import openai_responses
from tollkeeper.sockets.turns import Turn
from tollkeeper.wire import json_text

_LAST = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))
_NOT_SAID = ("type", "stream_id", "stream", "background")
_NOT_SENT = frozenset((b"content-type", b"content-length", b"accept", b"accept-encoding"))
_LANES = 256
"""Lanes of which it is remembered which model they asked for last."""
_encode = msgspec.json.encode


class _Response(Struct):
    id: str | None = None


class _Seen(Struct):
    type: str = ""
    stream_id: str | None = None
    response: _Response | None = None
    status: int | None = None
    error: Raw | UnsetType = UNSET


class _Error(Struct):
    headers: dict[str, str] | None = None


_seen = msgspec.json.Decoder(_Seen).decode
_error = msgspec.json.Decoder(_Error).decode


class Hearer(Protocol):
    """Whose sockets they are."""

    def begun(self, line: Turn, lane: str | None, model: str | None, event: bytes) -> None:
        """A response that was not asked for; `model` is what its lane's last request named."""
        ...

    def passed(self, event: bytes, secret: bytes | None) -> None:
        """An event that is no response's. `secret` is ours with the provider, which the client must not see."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something of ours did."""
        ...


class Lanes:
    """One client's socket's sockets to providers."""

    def __init__(self, connector: Connector, hearer: Hearer, monotonic: Clock) -> None:
        self._connector = connector
        self.hearer = hearer
        self.monotonic = monotonic
        self._open: dict[int, _Spoken] = {}
        self._without: dict[int, Account] = {}
        """Accounts that opened none."""
        self._opening = asyncio.Lock()

    def way(self, lane: str | None, model: str | None, generates: bool) -> "Way":
        """For one request of the client's."""
        return Way(self, lane, model, generates)

    def has(self, account: Account) -> bool:
        """Whether it is worth trying."""
        return openai_responses.DIALECT.name in account.provider.sockets and id(account) not in self._without

    async def to(
        self, target: Target, url: str, headers: Sequence[tuple[bytes, bytes]], timeouts: Patience
    ) -> "_Spoken | None":
        """None where there is none. Raises TollkeeperError where nobody answers there."""
        account = target.account
        async with self._opening:
            found = self._open.get(id(account))
            if found is not None and not found.ended:
                return found
            if id(account) in self._without:
                return None
            sent = [header for header in headers if header[0] not in _NOT_SENT]
            try:
                duplex = await self._connector.connect(url, sent, timeouts)
            except UpstreamError as error:
                if error.code != "upstream_no_socket":
                    raise
                self._without[id(account)] = account
                return None
            spoken = self._open[id(account)] = _Spoken(target, duplex, self)
            return spoken

    def steer(self, id: str | None, text: bytes) -> None:
        """Goes to the socket on which the response is under way, or to the only one. Raises CallerError."""
        open = [each for each in self._open.values() if not each.ended]
        found = next((each for each in open if id in each.ids), open[0] if len(open) == 1 else None)
        if found is None:
            raise CallerError(
                "There is no response here that could be steered: none is under way over a provider's own socket.",
                code="unknown_action",
                param="type",
            )
        found.duplex.send(text)

    def close(self) -> None:
        """The client is gone and everything is settled."""
        for spoken in self._open.values():
            spoken.close()


class Way:
    """One request's: implements `core.ports.Ways`, and `core.ports.Outbound` for the attempts that take it."""

    def __init__(self, lanes: Lanes, lane: str | None, model: str | None, generates: bool) -> None:
        self._lanes = lanes
        self._lane = lane
        self._model = model
        self._generates = generates
        self._target: Target
        self._usual: Outbound
        self._turns: list[Turn] = []
        self.direct = False
        """Whether what its client hears comes from a provider's socket."""

    def out(self, target: Target, usual: Outbound, relayed: bool) -> Outbound:
        if relayed and self._lanes.has(target.account):
            self._target, self._usual = target, usual
            return self
        self._needs_none()
        self.direct = False
        return usual

    def _needs_none(self) -> None:
        if not self._generates:
            raise CallerError(
                "'generate' cannot be false here: the provider keeps nothing between two responses.",
                code="unsupported_parameter",
                param="generate",
            )

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Sent:
        """The request as a message. Raises TollkeeperError."""
        spoken = await self._lanes.to(self._target, url, headers, timeouts)
        if spoken is None:
            self._needs_none()
            self.direct = False
            return await self._usual.send(method, url, headers, body, timeouts)
        self.direct = True
        assert isinstance(body, bytes)  # a message's
        members = json_text.members(body)
        said: dict[str, object] = {"type": "response.create"}
        if self._lane is not None:
            said["stream_id"] = self._lane
        said |= {name: value for name, value in members.items() if name not in _NOT_SAID}
        text = _encode(said)
        turn = Turn(
            self._target,
            self._lanes.monotonic,
            say=lambda: spoken.say(turn, self._lane, self._model, text),
            cancel=spoken.cancel,
        )
        turn.reused = spoken.used
        self._turns.append(turn)
        return await turn.send(method, url, headers, body, timeouts)

    def end(self) -> None:
        """Its call is over."""
        for turn in self._turns:
            turn.end()


class _Spoken:
    """One open socket to a provider."""

    def __init__(self, target: Target, duplex: Duplex, lanes: Lanes) -> None:
        self.duplex = duplex
        self.used = False
        self.ids: set[str] = set()
        """Of the responses that are under way."""
        self._target = target
        self._lanes = lanes
        self._waiting: dict[str | None, deque[Turn]] = {}
        self._live: set[Turn] = set()
        """Those that somebody still wants."""
        self._models: dict[str | None, str | None] = {}
        self._closed = False
        self._secret = redaction.sought(target.account.secret)
        self._relaying = asyncio.get_running_loop().create_task(self._relay())

    @property
    def ended(self) -> bool:
        return self._closed or self.duplex.closed is not None

    def say(self, turn: Turn, lane: str | None, model: str | None, text: bytes) -> None:
        """Asks for a response."""
        self.used = True
        self._models.pop(lane, None)
        self._models[lane] = model
        if len(self._models) > _LANES:
            del self._models[next(iter(self._models))]
        self._waiting.setdefault(lane, deque()).append(turn)
        self._live.add(turn)
        self.duplex.send(text)

    def cancel(self, turn: Turn) -> None:
        """Nobody wants it any more. There is no message that says so: the socket is closed, unless others go on on it."""
        self._live.discard(turn)
        if not self._live:
            self.close()

    def close(self) -> None:
        self._closed = True
        self.duplex.close()

    async def _relay(self) -> None:
        while (message := await self.duplex.receive()) is not None:
            try:
                await self._heard(message.encode() if isinstance(message, str) else message)
            except Exception as error:
                self._lanes.hearer.failed(error)
        self._closed = True
        for turn in (turn for turns in self._waiting.values() for turn in turns):
            if turn.id is None:
                turn.fail(UpstreamError("The provider closed the socket without an answer.", code="upstream_closed"))
            else:
                turn.fail(UpstreamError("The provider's socket ended inside a response.", code="upstream_cut"))
        self._waiting.clear()

    async def _heard(self, event: bytes) -> None:
        try:
            seen = _seen(event)
        except (msgspec.DecodeError, RecursionError):
            self._lanes.hearer.passed(event, self._secret)
            return
        turns = self._waiting.get(seen.stream_id) or self._only(seen)
        if not turns:
            if seen.type != "response.created":
                self._lanes.hearer.passed(event, self._secret)
                return
            turn = Turn(self._target, self._lanes.monotonic, say=None, cancel=self.cancel)
            turns = self._waiting[seen.stream_id] = deque((turn,))
            self._live.add(turn)
            self._lanes.hearer.begun(turn, seen.stream_id, self._models.get(seen.stream_id), event)
        turn = turns[0]
        last = seen.type in _LAST
        if turn.id is None and seen.response is not None:
            turn.id = seen.response.id or ""
            self.ids.add(turn.id)
        if last:
            turns.popleft()
            if not turns:
                self._waiting = {lane: others for lane, others in self._waiting.items() if others}
            self._live.discard(turn)
            self.ids.discard(turn.id or "")
        if last and turn.id is None and seen.error is not UNSET and (seen.status or 0) >= 400:
            turn.answer(seen.status or 500, _told(seen.error), b'{"error":%b}' % bytes(seen.error))
            return
        await turn.feed(event, last)

    def _only(self, seen: _Seen) -> deque[Turn] | None:
        """Of an event that names no lane, where only one request waits: it is that one's."""
        waiting = [turns for turns in self._waiting.values() if turns]
        return waiting[0] if seen.stream_id is None and len(waiting) == 1 else None


def _told(error: Raw) -> list[tuple[bytes, bytes]]:
    """The headers that an error on a socket has inside."""
    try:
        found = _error(error).headers or {}
    except msgspec.DecodeError:
        found = {}
    return [
        (name.lower().encode("latin-1", "replace"), text.encode("latin-1", "replace")) for name, text in found.items()
    ]
