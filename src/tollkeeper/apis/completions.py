"""A model's answer in the OpenAI chat dialect, read back: its text, whole or piece by piece as it passes.

Pieces stay the JSON strings that they came as: nothing is decoded for them.
"""

import re
from collections.abc import Awaitable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.apis.asked import Pieces
from tollkeeper.core.call import Reply
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.wire import sse

LONGEST = 64 * 1024 * 1024
"""Bytes of an answer that is gathered in memory."""


class Message(Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Choice(Struct):
    message: Message
    finish_reason: str | None = None


class Tokens(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(Struct):
    """https://platform.openai.com/docs/api-reference/chat/object"""

    choices: list[Choice]
    model: str | None = None
    usage: Tokens | None = None


class _Delta(Struct):
    content: Raw = Raw()


class _ChunkChoice(Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None
    index: int = 0


class _Chunk(Struct):
    """https://platform.openai.com/docs/api-reference/chat-streaming"""

    choices: list[_ChunkChoice] = []
    model: str | None = None
    error: Raw = Raw()


class _Complaint(Struct):
    message: str = "The model's answer broke off."
    code: str | int | None = None


_NAME = b'"content"'
_CONTENT = b'"content":'
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_is_text = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})+"').fullmatch
_read_completion = msgspec.json.Decoder(Completion).decode
_read_chunk = msgspec.json.Decoder(_Chunk).decode


def completion(body: bytes) -> Completion:
    """A whole answer. Raises UpstreamError (upstream_bad_answer)."""
    try:
        found = _read_completion(body)
    except (msgspec.DecodeError, RecursionError):
        raise _bad() from None
    if not found.choices:
        raise _bad()
    return found


async def whole_body(reply: Reply) -> bytes:
    """The body of a reply, gathered where it comes in pieces. Raises TollkeeperError."""
    if reply.pour is None:
        return reply.body
    gathered = _Gathered()
    await reply.pour(gathered)
    return b"".join(gathered.parts)


class _Gathered:
    """A `core.call.Sink` in memory."""

    blocked: Awaitable[None] | None = None

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._room = LONGEST

    def write(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise UpstreamError(f"The model's answer has more than {LONGEST} bytes.", code="upstream_bad_answer")
        self.parts.append(data)


class Overheard:
    """A `core.call.Sink` for a stream of chunks: passes on the text of their first choice."""

    def __init__(self, pieces: Pieces) -> None:
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.complaint: TollkeeperError | None = None
        """What an error event said."""
        self._pieces = pieces
        self._scanner = sse.EventScanner()
        self._before = self._after = b""
        """What stood around the last text: where it is the same, nothing but the text is another."""

    def write(self, data: bytes) -> None:
        before, after = self._before, self._after
        if before and data.startswith(before) and data.endswith(after) and not self._scanner.pending:
            texts = data[len(before) : -len(after)].split(after + before)
            if all(map(_is_text, texts)):
                self._pieces.take(texts)
                return
        texts = []
        for event in self._scanner.feed(data):
            before, after = self._before, self._after
            if before and event.startswith(before) and event.endswith(after):
                text = event[len(before) : -len(after)]
                if _is_text(text):
                    texts.append(text)
                    continue
            payload = sse.data_of(event)
            if payload is not None and payload != b"[DONE]":
                self._read(payload, texts)
                self._learn(event, payload, texts)
        if texts:
            self._pieces.take(texts)

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._pieces.blocked

    def _learn(self, event: bytes, payload: bytes, texts: list[bytes]) -> None:
        """What is around the text of this event, where it says nothing but text."""
        if not texts or self.complaint is not None or event != b"data: " + payload + b"\n\n":
            return
        text = texts[-1]
        marked = _CONTENT + text
        if event.count(_NAME) != 1 or _FINISHED.search(event) is not None:
            return
        at = event.find(marked)
        if at >= 0:
            at += len(_CONTENT)
            self._before, self._after = event[:at], event[at + len(text) :]

    def _read(self, payload: bytes, texts: list[bytes]) -> None:
        try:
            chunk = _read_chunk(payload)
        except (msgspec.DecodeError, RecursionError):
            return
        error = bytes(chunk.error)
        if error and error != b"null":
            self.complaint = complaint(error)
        if chunk.model is not None:
            self.model = chunk.model
        for choice in chunk.choices:
            if choice.index == 0:
                text = bytes(choice.delta.content)
                if text.startswith(b'"') and len(text) > 2:
                    texts.append(text)
                if choice.finish_reason is not None:
                    self.finish_reason = choice.finish_reason


def complaint(error: bytes) -> UpstreamError:
    """What an error event of the model's stream says."""
    try:
        said = msgspec.json.decode(error, type=_Complaint)
    except msgspec.DecodeError:
        said = _Complaint()
    return UpstreamError(said.message, code=str(said.code) if said.code else "upstream_cut")


def _bad() -> UpstreamError:
    return UpstreamError("The model's answer is not one of a chat.", code="upstream_bad_answer")
