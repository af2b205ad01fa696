"""Neutral pieces become Ollama's lines.

Rule 1: words pass as they come, blocks one after the other; a call waits for its last argument and is one line.
Rule 2: stop reason and counts wait for the end: they are one line here.
Rule 3: what keeps a connection alive is a line without words: clients take every line for an object.
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
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.in_turn import InTurn
from tollkeeper.dialects.ollama_chat import errors, shapes
from tollkeeper.dialects.ollama_chat.shapes import CHAT, Shape

_encode = msgspec.json.encode
_MORE = b',"done":false}\n'


class OllamaEncoder:
    """Writes one stream. Feed it all pieces in their order."""

    def __init__(self, identity: Identity, shape: Shape = CHAT) -> None:
        self._identity = identity
        self._shape = shape
        self._order = InTurn()
        self._head = b""
        self._before = b""
        self._after = shape.closing + _MORE
        self._call: ToolStart | None = None
        self._arguments: list[str] = []
        self._reason: StopReason = "end"
        self._reported: Reported | None = None
        self._over = False
        self._writers: dict[type[Delta], Callable[[Any], bytes]] = {
            TextDelta: self._text,
            Start: self._start,
            TextStart: self._words,
            RefusalStart: self._words,
            ReasoningStart: self._thoughts,
            ToolStart: self._tool,
            BlockEnd: self._block_end,
            Finish: self._finish,
            UsageNoted: self._usage,
            Ping: self._ping,
            Failed: self._failed,
            End: self._end,
            Sealed: self._unsaid,
            Cited: self._unsaid,
            ForeignPiece: self._unsaid,
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

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _text(self, delta: TextDelta) -> bytes:
        if self._call is not None:
            self._arguments.append(delta.text)
            return b""
        if delta.logprobs:
            likely = _encode(shapes.logprobs(delta.logprobs))
            return self._before + _encode(delta.text) + self._shape.closing + b',"logprobs":' + likely + _MORE
        return self._before + _encode(delta.text) + self._after

    def _words(self, start: Delta) -> bytes:
        self._before = self._head + self._shape.text
        return b""

    def _thoughts(self, start: Delta) -> bytes:
        self._before = self._head + self._shape.thinking
        return b""

    def _tool(self, start: ToolStart) -> bytes:
        self._call = start
        return b""

    def _block_end(self, delta: BlockEnd) -> bytes:
        start = self._call
        if start is None:
            return b""
        call = shapes.call(start.id, start.name, "".join(self._arguments))
        self._call = None
        self._arguments = []
        return self._head + self._shape.calls + _encode([call]) + self._after

    def _unsaid(self, delta: Delta) -> bytes:
        """Seals, citations and what another dialect's provider ran: Ollama has no words for them."""
        return b""

    # --- the answer -------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        given = self._identity
        self._head = shapes.head(delta.model or given.model, given.created if delta.created is None else delta.created)
        self._reported = delta.usage
        return b""

    def _finish(self, delta: Finish) -> bytes:
        self._reason = delta.reason
        return b""

    def _usage(self, delta: UsageNoted) -> bytes:
        self._reported = delta.reported
        return b""

    def _ping(self, delta: Ping) -> bytes:
        return self._head + self._shape.silent + _MORE if self._head else b""

    def _failed(self, delta: Failed) -> bytes:
        self._over = True
        return errors.render_event(delta.failure)

    def _end(self, delta: End) -> bytes:
        self._over = True
        return self._head + self._shape.silent + shapes.tail(self._reason, self._reported) + b"\n"
