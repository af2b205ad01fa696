"""What an action speaks to, and how its answer comes back: the seam between a socket's messages and whoever answers."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

import msgspec
from msgspec import Struct

from tollkeeper.core.call import Call, Presence, Reply
from tollkeeper.core.deltas import (
    BlockEnd,
    Delta,
    Failed,
    Failure,
    Finish,
    ReasoningStart,
    TextDelta,
    ToolStart,
    failure_of,
)
from tollkeeper.core.errors import CallerError, TollkeeperError, UpstreamError
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import openai_chat
from tollkeeper.dialects.openai_chat.translator import TRANSLATOR
from tollkeeper.sockets.formats import Format
from tollkeeper.wire.sse import EventScanner

_RECORDED = 5.0
"""Seconds that the record of a call is waited for, so that its cost can be told."""
_HEADERS = [(b"content-type", b"application/json")]


class Ask(Struct, frozen=True, kw_only=True):
    """One request of a client, admitted to be answered."""

    key: Key
    id: str
    """The client's name for it, or its request id."""
    request_id: str
    data: bytes | None
    """JSON."""
    model: str | None
    presence: Presence
    accepted_at: float
    """Monotonic seconds."""
    session: str
    """Names the socket: requests of one belong together."""
    history: list[msgspec.Raw]
    """What was said before, as chat messages."""


class Topic(Protocol):
    """What an action speaks to: a model, a published API."""

    def answer(self, ask: Ask, listener: "Listener") -> Awaitable[None]:
        """Answers into the listener, its usage included. Raises TollkeeperError where there is no answer or no end."""
        ...


def question(ask: Ask) -> str | None:
    """The data where it is a text. Raises CallerError where there is none."""
    if ask.data is None:
        raise CallerError("The message has no 'data'.", code="missing_required_parameter", param="data")
    if ask.data.startswith(b'"'):
        text: str = msgspec.json.decode(ask.data, type=str)
        return text
    return None


def call_of(ask: Ask, path: str) -> Call:
    """The chat call that answers it, with nothing in its body."""
    return Call(
        request_id=ask.request_id,
        key=ask.key,
        dialect=openai_chat.DIALECT,
        method="POST",
        path=path,
        query=b"",
        headers=_HEADERS,
        named=dict(_HEADERS),
        body=b"",
        model=ask.model,
        streamed=True,
        accepted_at=ask.accepted_at,
        presence=ask.presence,
        session=ask.session,
    )


async def told(call: Call, listener: "Listener") -> None:
    """Tells what the call has cost, once that is recorded."""
    if not listener.started or listener.muted:
        return
    if call.under_way:
        recorded = asyncio.Event()
        call.on_end(lambda _: recorded.set())
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECORDED):
                await recorded.wait()
    listener.usage(call.events)


class Listener:
    """Takes one answer in, piece by piece, and writes it in the socket's format. A `core.call.Sink` for chat streams."""

    def __init__(self, ask: Ask, format: Format, *, keep: int = 0) -> None:
        self.muted = False
        """Whether nobody wants to hear more of it."""
        self.failure: Failure | None = None
        """Why it will not be whole. Its client is told at its end, after what it has cost."""
        self.reason = "end"
        self.started = False
        self._id = ask.id
        self._request_id = ask.request_id
        self._format = format
        self._scanner = EventScanner()
        self._decoder = TRANSLATOR.decoder(Sitting(origin="openai_chat", id=ask.request_id))
        self._choices: dict[int, int] = {}
        self._tools: dict[int, tuple[ToolStart, list[str]]] = {}
        self._thoughts: set[int] = set()
        self._said: list[str] = []
        self._keeps = keep

    @property
    def said(self) -> str | None:
        """The words of the first choice; None where they are more than were to be kept."""
        return None if self._keeps < 0 else "".join(self._said)

    # --- core.call.Sink ---------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> Awaitable[None] | None:
        return None if self.muted else self._format.blocked

    def write(self, data: bytes) -> None:
        """A piece of a chat stream."""
        for event in self._scanner.feed(data):
            self.hear(self._decoder.feed(event))

    # --- for topics -------------------------------------------------------------------------------------------------

    def start(self, model: str | None) -> None:
        """The answer begins. Said once, whoever says it first."""
        if not self.started:
            self.started = True
            if not self.muted:
                self._format.start(self._id, self._request_id, model)

    async def take(self, reply: Reply, model: str | None) -> None:
        """A reply in the chat dialect, whole or streamed, an error of the provider's own too. Raises as its pour."""
        if reply.status >= 400:
            self.fail(TRANSLATOR.read_error(reply.status, reply.body))
            return
        self.start(model)
        if reply.pour is not None:
            await reply.pour(self)
            self.hear(self._decoder.close())
        elif reply.body.lstrip().startswith(b"{"):
            try:
                self.hear(TRANSLATOR.read_answer(reply.body, Sitting(origin="openai_chat", id=self._request_id)))
            except ValueError:
                raise UpstreamError("The provider's answer is not one.", code="upstream_bad_answer") from None
        else:
            self.write(reply.body)
            self.hear(self._decoder.close())

    def hear(self, deltas: list[Delta]) -> None:
        """Pieces of an answer, in neutral form."""
        format, id = self._format, self._id
        for delta in deltas:
            if self.muted or self.failure is not None:
                return
            if isinstance(delta, TextDelta):
                choice = self._choices.get(delta.block, 0)
                if delta.block in self._tools:
                    self._tools[delta.block][1].append(delta.text)
                elif delta.block in self._thoughts:
                    format.reasoning(id, delta.text, choice)
                else:
                    self.text(delta.text, choice)
            elif isinstance(delta, Failed):
                self.fail(delta.failure)
            elif isinstance(delta, Finish):
                if delta.choice == 0:
                    self.reason = delta.reason
            elif isinstance(delta, BlockEnd):
                self._end_block(delta.block)
            else:
                self._begin_block(delta)

    def text(self, text: str, choice: int = 0) -> None:
        """Words of the answer."""
        if self.muted:
            return
        if choice == 0 and self._keeps > 0:
            self._keeps -= len(text)
            if self._keeps >= 0:
                self._said.append(text)
            else:
                self._said.clear()
        self._format.text(self._id, text, choice)

    def result(self, value: bytes) -> None:
        """A whole answer that is JSON."""
        if not self.muted:
            self._format.result(self._id, value)

    def usage(self, events: list[Event]) -> None:
        """What it has cost, once that is written down."""
        if events and not self.muted:
            self._format.usage(self._id, events)

    def fail(self, failure: Failure | TollkeeperError) -> None:
        """It will not be whole. The first reason counts."""
        if self.failure is None:
            self.failure = failure_of(failure) if isinstance(failure, TollkeeperError) else failure

    def end(self) -> None:
        """Nothing more will come."""
        if self.muted:
            return
        if self.failure is not None:
            self._format.error(self._id, self.failure)
        else:
            self._format.done(self._id, self.reason)
        self.muted = True

    def stop(self) -> None:
        """Its client does not want the rest."""
        if not self.muted:
            self._format.done(self._id, "cancelled")
            self.muted = True

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _begin_block(self, delta: Delta) -> None:
        block = getattr(delta, "block", None)
        if block is None:
            return
        self._choices[block] = getattr(delta, "choice", 0)
        if isinstance(delta, ToolStart):
            self._tools[block] = (delta, [])
        elif isinstance(delta, ReasoningStart):
            self._thoughts.add(block)

    def _end_block(self, block: int) -> None:
        tool = self._tools.pop(block, None)
        if tool is not None:
            start, arguments = tool
            self._format.tool_call(self._id, start.id, start.name, "".join(arguments), start.choice)
