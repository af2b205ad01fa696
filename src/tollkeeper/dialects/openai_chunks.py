"""Streams of chat and text completions: each event read once as it passes, usage known by its content."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.usage import Reported
from tollkeeper.dialects import openai_usage
from tollkeeper.wire import json_text, sse


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct):
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Groq(Struct):
    usage: Raw | UnsetType = UNSET


class _Chunk(Struct):
    model: str | None = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    x_groq: _Groq | None = None


class _Loose(Struct):
    """The same, for chunks whose choices are unlike OpenAI's: still JSON, still with usage and errors."""

    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_loosely = msgspec.json.Decoder(_Loose).decode
_NULL = b"null"
_PLAIN_NULL_USAGE = b',"usage":null'
_ENVELOPE = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "obfuscation")
)
"""What a chunk that exists only to carry usage may hold (https://platform.openai.com/docs/api-reference/chat-streaming)."""
_JOIN_AT = 256


class ChunkReader:
    """Reads chunks until `[DONE]`. With `hide_usage` the client gets what it would have got without include_usage."""

    def __init__(self, hide_usage: bool) -> None:
        self._hide_usage = hide_usage
        self._texts: list[str] = []
        self._finish_seen = False
        self.done = False
        self.reported: Reported | None = None
        self.model: str | None = None
        self.tier: str | None = None
        self.error_code: str | None = None

    @property
    def finished(self) -> bool:
        """`[DONE]`; or an error, or a finish reason: not every provider sends `[DONE]` after those."""
        return self.done or self._finish_seen or self.error_code is not None

    def read(self, event: bytes) -> bytes:
        """The event as the client gets it. Raises ValueError (msgspec.DecodeError) where its data is not JSON."""
        data = sse.data_of(event)
        if data is None:
            return event
        if data == b"[DONE]":
            self.done = True
            return event
        try:
            chunk = _decode(data)
        except msgspec.ValidationError:
            loose = _decode_loosely(data)
            chunk = _Chunk(usage=loose.usage, error=loose.error)
        if chunk.model and self.model is None:
            self.model = chunk.model
        if chunk.service_tier is not None:
            self.tier = chunk.service_tier
        if chunk.choices:
            for choice in chunk.choices:
                self._hear(choice)
        if chunk.error is not UNSET and bytes(chunk.error) != _NULL:
            self.error_code = _code_of(bytes(chunk.error))
        if chunk.usage is UNSET:
            if chunk.x_groq is not None and chunk.x_groq.usage is not UNSET:
                self._note(bytes(chunk.x_groq.usage))
            return event
        usage = bytes(chunk.usage)
        if usage == _NULL:
            if not self._hide_usage:
                return event
            if event.count(b'"usage"') == 1 and _PLAIN_NULL_USAGE in event:
                return event.replace(_PLAIN_NULL_USAGE, b"", 1)
            return self._cut_out(event, data)
        self._note(usage)
        if not self._hide_usage:
            return event
        if not chunk.choices and _only_carries_usage(data):
            return b""
        return self._cut_out(event, data)

    def _hear(self, choice: _Choice) -> None:
        if choice.finish_reason is not None:
            self._finish_seen = True
        heard = self._texts
        if choice.text:
            heard.append(choice.text)
        delta = choice.delta
        if delta is not None:
            if delta.content:
                heard.append(delta.content)
            elif delta.reasoning_content or delta.reasoning:
                heard.append(delta.reasoning_content or delta.reasoning or "")
            elif delta.refusal:
                heard.append(delta.refusal)
            if delta.function_call is not None:
                heard.append((delta.function_call.name or "") + (delta.function_call.arguments or ""))
            for call in delta.tool_calls or ():
                if call.function is not None:
                    heard.append((call.function.name or "") + (call.function.arguments or ""))
        if len(heard) > _JOIN_AT:
            heard[:] = ["".join(heard)]

    def _note(self, usage: bytes) -> None:
        said = openai_usage.reported(usage)
        if said is not None:
            self.reported = said

    @staticmethod
    def _cut_out(event: bytes, data: bytes) -> bytes:
        return event.replace(data, json_text.without(data, "usage"), 1)

    def delivered(self) -> str:
        """Words, reasoning, refusals and tool calls that have passed."""
        return "".join(self._texts)


def _only_carries_usage(data: bytes) -> bool:
    """Moderation results and Azure's filter results travel in chunks without choices too; those must arrive."""
    return all(name in _ENVELOPE or bytes(value) == _NULL for name, value in json_text.members(data).items())


def _code_of(raw: bytes) -> str:
    error = msgspec.json.decode(raw)
    if isinstance(error, dict):
        for name in ("code", "type"):
            if isinstance(error.get(name), (str, int)):
                return str(error[name])[:64]
    return "error"
