"""Neutral pieces become Anthropic's events.

Rule 1: message_start, then blocks 0, 1, 2, … one after the other, then one message_delta, then message_stop.
Rule 2: a block without words is not begun, unless something is known of it: clients show empty blocks, and Anthropic
        refuses them when they come back.
Rule 3: stop reason and the final usage wait for the end: elsewhere the one comes before the other.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import Seal
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    Failure,
    ForeignPiece,
    Ping,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
)
from tollkeeper.core.seals import wrapped
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.anthropic_messages import answer, errors, ids, usage
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT
from tollkeeper.dialects.writing import StreamWriter, Words

_encode = msgspec.json.encode
_START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
_TEXT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":'
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_BEGINNINGS: dict[type[Any], tuple[bytes, bytes]] = {
    TextStart: (b'{"type":"text","text":""}', b'text_delta","text'),
    RefusalStart: (b'{"type":"text","text":""}', b'text_delta","text'),
    ReasoningStart: (b'{"type":"thinking","thinking":"","signature":""}', b'thinking_delta","thinking'),
}


class MessagesEncoder(StreamWriter):
    """Writes one stream. Feed it all pieces in their order."""

    dialect = DIALECT

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, in_turn=True)
        self._index = -1
        self._open = False
        """Whether the block at `_index` has begun and not stopped."""
        self._pending: Delta | None = None
        """A block that has been announced and waits for its first words."""
        self._before = b""
        self._started = False

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _text(self, delta: TextDelta) -> bytes:
        if self._pending is not None:
            return self._begin() + self._before + _encode(delta.text) + b"}}\n\n"
        return self._before + _encode(delta.text) + b"}}\n\n"

    def _words(self, start: Words) -> bytes:
        self._pending = start
        return b""

    def _begin(self) -> bytes:
        """The block that was announced."""
        block, field = _BEGINNINGS[type(self._pending)]
        self._pending = None
        return self._next(block, field)

    def _next(self, block: bytes, field: bytes) -> bytes:
        self._index += 1
        self._open = True
        self._before = _TEXT % (self._index, field)
        return _START % (self._index, block)

    def _tool(self, start: ToolStart) -> bytes:
        out = b"" if start.seal is None else self._call_seal(start.seal)
        block = {"type": "tool_use", "id": ids.told(start.id), "name": start.name, "input": {}}
        return out + self._next(_encode(block), b'input_json_delta","partial_json')

    def _call_seal(self, seal: Seal) -> bytes:
        """Anthropic has no place for a seal at a call: it travels as reasoning without words, before the call."""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        begun = self._next(_encode(block), b"")
        signed = {"type": "signature_delta", "signature": wrapped(seal, DIALECT, of_call=True)}
        return begun + _DELTA % (self._index, _encode(signed)) + self._close()

    def _close(self) -> bytes:
        self._open = False
        return _STOP % self._index

    def _sealed(self, delta: Sealed) -> bytes:
        start = self._pending
        value = wrapped(delta.seal, DIALECT)
        if isinstance(start, ReasoningStart) and start.redacted:
            self._pending = None
            return self._next(_encode({"type": "redacted_thinking", "data": value}), b"")
        begun = self._begin() if start is not None else b""
        return begun + _DELTA % (self._index, _encode({"type": "signature_delta", "signature": value}))

    def _cited(self, delta: Cited) -> bytes:
        begun = self._begin() if self._pending is not None else b""
        cited = {"type": "citations_delta", "citation": answer.citation(delta.citation)}
        return begun + _DELTA % (self._index, _encode(cited))

    def _block_end(self, delta: BlockEnd) -> bytes:
        self._pending = None
        return self._close() if self._open else b""

    def _foreign(self, delta: ForeignPiece) -> bytes:
        return self._next(delta.data, b"") + self._close()

    # --- the message ------------------------------------------------------------------------------------------------

    def _start(self, delta: Start) -> bytes:
        self._started = True
        given = self._identity
        message: dict[str, Any] = {
            "id": delta.id or f"msg_{given.id}",
            "type": "message",
            "role": "assistant",
            "model": delta.model or given.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage.rendered(delta.usage),
        }
        return b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n' % _encode(message)

    def _ping(self, delta: Ping) -> bytes:
        return _PING if self._started else b""

    def _failed(self, failure: Failure) -> bytes:
        return errors.render_event(failure)

    def _end(self) -> bytes:
        ended = {
            "type": "message_delta",
            "delta": {
                "stop_reason": answer.stop_reason(self._stop.reason),
                "stop_sequence": self._stop.sequence,
            },
            "usage": usage.rendered(self._reported),
        }
        return b'event: message_delta\ndata: %b\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n' % _encode(
            ended
        )
