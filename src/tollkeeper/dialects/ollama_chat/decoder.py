"""Ollama's lines become neutral pieces (https://docs.ollama.com/api/chat), of /api/chat and of /api/generate.

A line is a whole event; calls come whole; the line that says `done` is the last and has the counts.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.core.deltas import (
    END,
    BlockEnd,
    Delta,
    Failed,
    Finish,
    ReasoningStart,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Sitting
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects import lenient
from tollkeeper.dialects.ollama_chat import errors

DIALECT = "ollama_chat"


class Function(Struct):
    name: str = ""
    arguments: Any = None


class Call(Struct):
    id: str | None = None
    function: Function | None = None


class Message(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Line(Struct):
    model: str | None = None
    created_at: str | None = None
    message: Message | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Raw | None = None


decode = lenient.decoder(Line)


class OllamaDecoder:
    """Reads lines until one is the last, or a whole answer, which is one line."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._block: int | None = None
        self._kind: type[Delta] | None = None
        self._next = 0
        self._started = False
        self._called = False
        self.done = False

    @property
    def finished(self) -> bool:
        return self.done

    def feed(self, event: bytes) -> list[Delta]:
        return [] if self.done else self.hear(decode(event))

    def close(self) -> list[Delta]:
        """Nothing is ever held back."""
        return []

    def hear(self, line: Line) -> list[Delta]:
        if line.error is not None and bytes(line.error) != b"null":
            self.done = True
            return [Failed(errors.failure(msgspec.json.decode(line.error), None))]
        out: list[Delta] = []
        if not self._started:
            self._started = True
            out.append(Start(None, line.model, _seconds(line.created_at)))
        message = line.message or Message(line.response, line.thinking)
        if message.thinking:
            self._say(ReasoningStart, message.thinking, out)
        if message.content:
            self._say(TextStart, message.content, out)
        for call in message.tool_calls or ():
            self._call(call, out)
        if line.done:
            self._end(line, out)
        return out

    def _say(self, kind: type[Any], text: str, out: list[Delta]) -> None:
        if self._block is None or self._kind is not kind:
            self._end_words(out)
            self._block = self._next
            self._kind = kind
            self._next += 1
            out.append(kind(self._block))
        out.append(TextDelta(self._block, text))

    def _end_words(self, out: list[Delta]) -> None:
        if self._block is not None:
            out.append(BlockEnd(self._block))
            self._block = None

    def _call(self, call: Call, out: list[Delta]) -> None:
        self._end_words(out)
        self._called = True
        function = call.function or Function()
        block, self._next = self._next, self._next + 1
        name = self._sitting.renamed.get(function.name, function.name)
        out.append(ToolStart(block, call.id or f"call_{self._sitting.id}_{block}", name))
        given = function.arguments
        if given:
            out.append(TextDelta(block, given if isinstance(given, str) else msgspec.json.encode(given).decode()))
        out.append(BlockEnd(block))

    def _end(self, line: Line, out: list[Delta]) -> None:
        self.done = True
        self._end_words(out)
        if line.prompt_eval_count is not None or line.eval_count is not None:
            usage = Usage(input_tokens=max(0, line.prompt_eval_count or 0), output_tokens=max(0, line.eval_count or 0))
            raw = {"prompt_eval_count": line.prompt_eval_count, "eval_count": line.eval_count}
            out.append(UsageNoted(Reported(usage, msgspec.json.encode(raw))))
        length = line.done_reason == "length"
        out += (Finish("length" if length else "tool" if self._called else "end"), END)


def _seconds(text: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if text else None
    except ValueError:
        return None
