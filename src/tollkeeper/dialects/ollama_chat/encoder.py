"""Neutral pieces become Ollama's lines.

Rule 1: words pass as they come, blocks one after the other; a call waits for its last argument and is one line.
Rule 2: stop reason and counts wait for the end: they are one line here.
Rule 3: what keeps a connection alive is a line without words: clients take every line for an object.
"""

import msgspec

from tollkeeper.core.deltas import (
    BlockEnd,
    Failure,
    Ping,
    ReasoningStart,
    Start,
    TextDelta,
    ToolStart,
)
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.ollama_chat import errors, shapes
from tollkeeper.dialects.ollama_chat.shapes import CHAT, Shape
from tollkeeper.dialects.writing import StreamWriter, Words

_encode = msgspec.json.encode
_MORE = b',"done":false}\n'


class OllamaEncoder(StreamWriter):
    """Writes one stream. Feed it all pieces in their order."""

    dialect = ""

    def __init__(self, identity: Identity, shape: Shape = CHAT) -> None:
        super().__init__(identity, in_turn=True)
        self._shape = shape
        self._head = b""
        self._before = b""
        self._after = shape.closing + _MORE
        self._call: ToolStart | None = None
        self._arguments: list[str] = []

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _text(self, delta: TextDelta) -> bytes:
        if self._call is not None:
            self._arguments.append(delta.text)
            return b""
        if delta.logprobs:
            likely = _encode(shapes.logprobs(delta.logprobs))
            return self._before + _encode(delta.text) + self._shape.closing + b',"logprobs":' + likely + _MORE
        return self._before + _encode(delta.text) + self._after

    def _words(self, start: Words) -> bytes:
        thought = isinstance(start, ReasoningStart)
        self._before = self._head + (self._shape.thinking if thought else self._shape.text)
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

    # --- the answer -------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        given = self._identity
        self._head = shapes.head(delta.model or given.model, given.created if delta.created is None else delta.created)
        return b""

    def _ping(self, delta: Ping) -> bytes:
        return self._head + self._shape.silent + _MORE if self._head else b""

    def _failed(self, failure: Failure) -> bytes:
        return errors.render_event(failure)

    def _end(self) -> bytes:
        return self._head + self._shape.silent + shapes.tail(self._stop.reason, self._reported) + b"\n"
