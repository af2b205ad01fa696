"""Streams of chat and text completions: each event read once as it passes, usage known by its content."""

import msgspec
from msgspec import UNSET, Raw

from tollkeeper.core.usage import Reported
from tollkeeper.dialects import openai_chunk_shape, openai_request, openai_usage
from tollkeeper.dialects.openai_chunk_shape import Choice, Function
from tollkeeper.wire import json_text, sse

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_NULL = b"null"
_PLAIN_NULL_USAGE = b',"usage":null'
_SAME_IN_ALL = ("id", "object", "created", "model", "system_fingerprint")
_ENVELOPE = frozenset((*_SAME_IN_ALL, "choices", "usage", "service_tier", "obfuscation", "timings"))
"""What a chunk that exists only to carry usage may hold (https://platform.openai.com/docs/api-reference/chat-streaming);
llama.cpp's server adds its timings to whichever chunk is the last."""
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
        self.once: str | None = None
        self.error_code: str | None = None

    @property
    def finished(self) -> bool:
        """`[DONE]`; or an error, or a finish reason: not every provider sends `[DONE]` after those."""
        return self.done or self._finish_seen or self.error_code is not None

    def read(self, event: bytes) -> bytes:
        """The event as the client gets it. Raises ValueError where its data is not a JSON object."""
        data = sse.data_of(event)
        if data is None:
            return event
        if data == b"[DONE]":
            self.done = True
            return event
        chunk = openai_chunk_shape.decode(data)
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

    def _hear(self, choice: Choice) -> None:
        if choice.finish_reason is not None:
            self._finish_seen = True
        heard = self._texts
        if choice.text:
            heard.append(choice.text)
        delta = choice.delta
        if delta is not None:
            if delta.content:
                heard.append(delta.content if isinstance(delta.content, str) else _words(delta.content))
            elif delta.reasoning_content or delta.reasoning:
                heard.append(delta.reasoning_content or delta.reasoning or "")
            elif delta.refusal:
                heard.append(delta.refusal)
            if delta.function_call is not None:
                heard.append(_called(delta.function_call))
            for call in delta.tool_calls or ():
                if call.function is not None:
                    heard.append(_called(call.function))
        if len(heard) > _JOIN_AT:
            heard[:] = ["".join(heard)]

    def _note(self, usage: bytes) -> None:
        said = openai_usage.reported(usage)
        if said is not None:
            self.reported = said

    @staticmethod
    def _cut_out(event: bytes, data: bytes) -> bytes:
        shorter = json_text.without(data, "usage")
        if data in event:
            return event.replace(data, shorter, 1)
        return b"".join(b"data: %b\n" % line for line in shorter.split(b"\n")) + b"\n"

    def delivered(self) -> str:
        """Words, reasoning, refusals and tool calls that have passed."""
        return "".join(self._texts)


def _called(function: Function) -> str:
    arguments = function.arguments or ""
    return (function.name or "") + (arguments if isinstance(arguments, str) else _words(arguments))


def _words(value: object) -> str:
    return "".join(openai_request.texts(value))


def _only_carries_usage(data: bytes) -> bool:
    """Moderation results and Azure's filter results travel in chunks without choices too; those must arrive."""
    members = _decode_members(data)
    if "choices" in members and msgspec.json.decode(members["choices"]):
        return False  # of a shape that we do not read
    return all(name in _ENVELOPE or bytes(value) == _NULL for name, value in members.items())


def _code_of(raw: bytes) -> str:
    error = msgspec.json.decode(raw)
    if isinstance(error, dict):
        for name in ("code", "type"):
            if isinstance(error.get(name), (str, int)):
                return str(error[name])[:64]
    return "error"
