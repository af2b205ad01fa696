"""Neutral pieces become Ollama's lines.

Rule 1: every line names the model and a time, the same in all; the last one says `done`, why, and the counts.
Rule 2: a call comes whole, with its arguments as an object.
Rule 3: what has no place (seals, sources, other choices) is left out.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Finish,
    ForeignPiece,
    Ping,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.in_turn import InTurn
from tollkeeper.dialects.ollama_chat import answer, errors

_encode = msgspec.json.encode


class OllamaEncoder:
    """Writes one stream. `generate`: of /api/generate, which has its words at the top."""

    def __init__(self, identity: Identity, *, generate: bool = False) -> None:
        self._identity = identity
        self._generate = generate
        self._order = InTurn()
        self._head = b""
        self._before = self._after = b""
        self._tool: ToolStart | None = None
        self._arguments: list[str] = []
        self._finish = Finish("end")
        self._reported: Reported | None = None
        self._over = False
        self._writers: dict[type[Delta], Callable[[Any], bytes]] = {
            TextDelta: self._text,
            Start: self._start,
            TextStart: self._words,
            RefusalStart: self._words,
            ReasoningStart: self._words,
            ToolStart: self._call,
            Sealed: self._nothing,
            Cited: self._nothing,
            BlockEnd: self._block_end,
            ForeignPiece: self._nothing,
            Finish: self._note_finish,
            UsageNoted: self._usage,
            Ping: self._nothing,
            Failed: self._failed,
            End: self._end,
        }

    def feed(self, deltas: list[Delta]) -> bytes:
        out = b""
        passes, writers = self._order.passes, self._writers
        for delta in deltas:
            if self._over:
                break
            ready = passes(delta)
            if ready is None:
                out += writers[type(delta)](delta)
            else:
                for one in ready:
                    out += writers[type(one)](one)
        return out

    def _text(self, delta: TextDelta) -> bytes:
        if self._tool is not None:
            self._arguments.append(delta.text)
            return b""
        return self._before + _encode(delta.text) + self._after

    def _words(self, start: TextStart | RefusalStart | ReasoningStart) -> bytes:
        thinking = isinstance(start, ReasoningStart)
        if self._generate:
            field = b'"response":"","thinking":' if thinking else b'"response":'
            self._before, self._after = self._head + field, b',"done":false}\n'
        else:
            field = b'"content":"","thinking":' if thinking else b'"content":'
            self._before = self._head + b'"message":{"role":"assistant",' + field
            self._after = b'},"done":false}\n'
        return b""

    def _call(self, start: ToolStart) -> bytes:
        self._tool = start
        self._arguments = []
        return b""

    def _block_end(self, delta: BlockEnd) -> bytes:
        start, self._tool = self._tool, None
        if start is None or self._generate:
            return b""
        call = answer.call(start.id, start.name, "".join(self._arguments))
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        return self._head + b'"message":%b,"done":false}\n' % _encode(message)

    def _start(self, delta: Start) -> bytes:
        self._reported = delta.usage
        head = answer.head(delta.model or self._identity.model, delta.created or self._identity.created)
        self._head = _encode(head)[:-1] + b","
        return b""

    def _note_finish(self, delta: Finish) -> bytes:
        self._finish = delta
        return b""

    def _usage(self, delta: UsageNoted) -> bytes:
        self._reported = delta.reported
        return b""

    def _nothing(self, delta: Delta) -> bytes:
        return b""

    def _failed(self, delta: Failed) -> bytes:
        self._over = True
        return errors.render_event(delta.failure)

    def _end(self, delta: End) -> bytes:
        self._over = True
        empty = {"response": ""} if self._generate else {"message": {"role": "assistant", "content": ""}}
        last = {**empty, **answer.ended(self._finish.reason, self._reported)}
        return self._head + _encode(last)[1:] + b"\n"
