"""Ollama's lines become neutral pieces (https://docs.ollama.com/api/streaming), of /api/chat and of /api/generate.

Rule 1: a line is a whole object; words of one kind that follow each other are one block, a tool's call is one piece.
Rule 2: the line that says `done` is the end, with stop reason and counts in it.
Rule 3: older servers give calls no ids: they get one, made of the request's and their position.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.conversation import TokenLogprob
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Delta,
    Failed,
    Finish,
    ReasoningStart,
    Start,
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import lenient
from tollkeeper.dialects.ollama_chat import errors, usage
from tollkeeper.dialects.whole_calls import whole_call

DIALECT = "ollama_chat"
FILTERED = "content_filter"
"""Ollama knows no filters, and its reasons are free text: ours for an answer that a provider cut out."""
_STOPS: dict[str, StopReason] = {"stop": "end", "length": "length", FILTERED: "filter"}
_NULL = b"null"


class Function(Struct):
    name: str = ""
    arguments: Raw | UnsetType = UNSET


class Call(Struct):
    id: str | None = None
    function: Function | None = None


class Message(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Likely(Struct):
    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None
    top_logprobs: list["Likely"] | None = None


class Line(usage.Counts):
    model: str | None = None
    created_at: str | None = None
    message: Message | None = None
    response: str | None = None
    """/api/generate: its words; thoughts and calls stand beside them."""
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    logprobs: list[Raw] | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Raw | UnsetType = UNSET


decode = lenient.decoder(Line)
_decode_likely = msgspec.json.Decoder(Likely).decode
_counts = tuple(usage.Counts.__struct_fields__)


class OllamaDecoder:
    """Reads lines until the one that is the last, or one whole answer."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._started = False
        self._block: int | None = None
        """The block of words that is open, and of which kind."""
        self._kind: type[Delta] | None = None
        self._next = 0
        self._called = 0
        self.done = False

    @property
    def finished(self) -> bool:
        return self.done

    def feed(self, event: bytes) -> list[Delta]:
        if self.done:
            return []
        if event.isspace():
            return [PING]
        return self.hear(decode(event), event)

    def close(self) -> list[Delta]:
        """Nothing is ever held back."""
        return []

    def hear(self, line: Line, raw: bytes) -> list[Delta]:
        if line.error is not UNSET and bytes(line.error) != _NULL:
            self.done = True
            return [Failed(errors.read(500, raw))]
        out: list[Delta] = []
        if not self._started:
            self._started = True
            out.append(Start(None, line.model, _seconds(line.created_at)))
        message = line.message
        if message is not None:
            thinking, text, calls = message.thinking, message.content, message.tool_calls
        else:
            thinking, text, calls = line.thinking, line.response, line.tool_calls
        if thinking:
            self._say(ReasoningStart, thinking, out, None)
        if text:
            self._say(TextStart, text, out, None if line.logprobs is None else _likely(line.logprobs))
        for call in calls or ():
            if call.function is not None:
                self._call(call.id, call.function, out)
        if line.done:
            self._last(line, out)
        return out

    def _say(self, kind: type[Any], text: str, out: list[Delta], likely: tuple[TokenLogprob, ...] | None) -> None:
        block = self._block
        if block is None or self._kind is not kind:
            self._end(out)
            block = self._block = self._next
            self._next += 1
            self._kind = kind
            out.append(kind(block))
        out.append(TextDelta(block, text, likely))

    def _end(self, out: list[Delta]) -> None:
        if self._block is not None:
            out.append(BlockEnd(self._block))
            self._block = None

    def _call(self, given: str | None, function: Function, out: list[Delta]) -> None:
        self._end(out)
        block = self._next
        self._next += 1
        name = self._sitting.renamed.get(function.name, function.name)
        start = ToolStart(block, given or f"call_{self._sitting.id}_{self._called}", name)
        self._called += 1
        out += whole_call(start, _arguments(function.arguments))

    def _last(self, line: Line, out: list[Delta]) -> None:
        self.done = True
        self._end(out)
        reason = _STOPS.get(line.done_reason or "", "end")
        out.append(Finish("tool" if reason == "end" and self._called else reason))
        counts = usage.reported(usage.Counts(*(getattr(line, name) for name in _counts)))
        if counts is not None:
            out.append(UsageNoted(counts))
        out.append(END)


def _arguments(given: Raw | UnsetType) -> str:
    """An object's text; some servers put it into a string, as OpenAI does."""
    if given is UNSET:
        return ""
    text = bytes(given).decode()
    if text.startswith('"'):
        text = msgspec.json.decode(text, type=str)
    return "" if text in ("null", "{}") else text


def _likely(given: list[Raw]) -> tuple[TokenLogprob, ...] | None:
    """Whatever of it can be read: no answer breaks for it."""
    try:
        found = [_decode_likely(item) for item in given]
    except (ValueError, RecursionError):
        return None
    return tuple(_token(one) for one in found) or None


def _token(found: Likely) -> TokenLogprob:
    return TokenLogprob(found.token, found.logprob, found.bytes, tuple(_token(one) for one in found.top_logprobs or ()))


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None
