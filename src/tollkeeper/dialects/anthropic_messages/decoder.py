"""Anthropic's events become neutral pieces (https://platform.claude.com/docs/en/build-with-claude/streaming).

Rule 1: a block of a kind that only Anthropic has (hosted tools, compaction) is gathered and passed on whole, as foreign.
Rule 2: an event or delta of an unknown type says nothing; new ones may come at any time.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.conversation import Citation, Foreign, Seal
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Cited,
    Delta,
    Failed,
    Finish,
    ForeignPiece,
    ReasoningStart,
    Sealed,
    Start,
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.seals import belongs_to_call, unwrapped
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import lenient
from tollkeeper.dialects.anthropic_messages import errors, ids, usage
from tollkeeper.wire import sse

DIALECT = "anthropic_messages"
_encode = msgspec.json.encode
_STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "compaction": "compaction",
    "tool_use": "tool",
    "refusal": "refusal",
    "pause_turn": "pause",
}


class Piece(Struct):
    """`delta`, of a block or of the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: Raw | UnsetType = UNSET
    content: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Message(Struct):
    id: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw | UnsetType = UNSET


class Event(Struct):
    type: str = ""
    index: int = 0
    delta: Piece | None = None
    content_block: Raw | UnsetType = UNSET
    message: Message | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode = lenient.decoder(Event)
decode_message = lenient.decoder(Message)


class MessagesDecoder:
    """Reads events until message_stop or an error."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._blocks: dict[int, int] = {}
        """Numbers of our own, by Anthropic's index."""
        self._foreign: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._begun: bytes | None = None
        self._stop: Piece | None = None
        self._call_seal: Seal | None = None
        self._called = False
        self._started = False
        self.done = False

    @property
    def finished(self) -> bool:
        """message_stop or an error; a stop reason will do where the rest was left out."""
        return self.done or self._stop is not None

    def feed(self, event: bytes) -> list[Delta]:
        data = sse.data_of(event)
        if data is None:
            return [PING]
        if self.done or data == b"[DONE]":
            return self.close() if self._stop is not None else []
        seen = _decode(data)
        kind = seen.type
        if kind == "content_block_delta":
            return self._delta(seen.index, seen.delta) if seen.delta is not None else []
        if kind == "content_block_start":
            return self._block(seen.index, bytes(seen.content_block)) if seen.content_block is not UNSET else []
        if kind == "content_block_stop":
            return self._block_end(seen.index)
        if kind == "message_start":
            return self.start(seen.message) if seen.message is not None and not self._started else []
        if kind == "message_delta":
            return self._message_delta(seen)
        if kind == "message_stop":
            return self.close()
        if kind == "ping":
            return [PING]
        if kind == "error":
            self.done = True
            return [Failed(errors.failure(data, None))]
        return []

    def close(self) -> list[Delta]:
        if self.done:
            return []
        self.done = True
        stop = self._stop
        out: list[Delta] = [BlockEnd(block) for block in self._blocks.values()]
        reason: StopReason = _STOPS.get(stop.stop_reason or "", "end") if stop is not None else "end"
        if reason == "end" and self._called:
            reason = "tool"
        out += (Finish(reason, stop.stop_sequence if stop is not None else None), END)
        return out

    def start(self, message: Message) -> list[Delta]:
        """The beginning of a message; the whole of it where its content is there already."""
        self._started = True
        begun = None
        if message.usage is not UNSET:
            self._begun = bytes(message.usage)
            begun = usage.reported(self._begun)
        out: list[Delta] = [Start(message.id, message.model, None, begun)]
        for index, block in enumerate(message.content or ()):
            out += self._block(index, bytes(block))
            out += self._block_end(index)
        if message.stop_reason is not None:
            self._stop = Piece(stop_reason=message.stop_reason, stop_sequence=message.stop_sequence)
        if message.content and begun is not None:
            out.append(UsageNoted(begun, self._tier()))
        return out

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _delta(self, index: int, delta: Piece) -> list[Delta]:
        block = self._blocks.get(index)
        if block is None:
            self._hear_foreign(index, delta)
            return []
        if delta.text is not None:
            return [TextDelta(block, delta.text)] if delta.text else []
        if delta.partial_json is not None:
            return [TextDelta(block, delta.partial_json)] if delta.partial_json else []
        if delta.thinking is not None:
            return [TextDelta(block, delta.thinking)] if delta.thinking else []
        if delta.signature:
            return [Sealed(block, self._seal(delta.signature))]
        if delta.citation is not UNSET:
            return [Cited(block, citation(bytes(delta.citation)))]
        return []

    def _block(self, index: int, raw: bytes) -> list[Delta]:
        found = msgspec.json.decode(raw)
        if not isinstance(found, dict):
            return []
        kind = found.get("type")
        if kind == "text":
            return self._text(index, found)
        if kind in ("thinking", "redacted_thinking"):
            return self._thinking(index, found)
        if kind != "tool_use":
            self._foreign[index] = found
            return []
        block = self._number(index)
        self._called = True
        name = str(found.get("name") or "")
        seal, self._call_seal = self._call_seal, None
        name = self._sitting.renamed.get(name, name)
        given = found.get("input")
        out: list[Delta] = [ToolStart(block, ids.original(str(found.get("id") or "")), name, 0, False, seal)]
        if given:
            out.append(TextDelta(block, _encode(given).decode()))
        return out

    def _text(self, index: int, found: dict[str, Any]) -> list[Delta]:
        block = self._number(index)
        out: list[Delta] = [TextStart(block)]
        if found.get("text"):
            out.append(TextDelta(block, str(found["text"])))
        for cited in found.get("citations") or ():
            out.append(Cited(block, citation(_encode(cited))))
        return out

    def _thinking(self, index: int, found: dict[str, Any]) -> list[Delta]:
        sealed = found.get("signature") or found.get("data")
        if isinstance(sealed, str) and belongs_to_call(sealed):
            self._call_seal = unwrapped(sealed, DIALECT)
            return []
        block = self._number(index)
        out: list[Delta] = [ReasoningStart(block, 0, found.get("type") == "redacted_thinking")]
        if found.get("thinking"):
            out.append(TextDelta(block, str(found["thinking"])))
        if isinstance(sealed, str) and sealed:
            out.append(Sealed(block, self._seal(sealed)))
        return out

    def _block_end(self, index: int) -> list[Delta]:
        block = self._blocks.pop(index, None)
        if block is not None:
            return [BlockEnd(block)]
        found = self._foreign.pop(index, None)
        if found is None:
            return []
        written = found.pop("", None)
        if written:
            try:
                found["input"] = msgspec.json.decode(written)
            except ValueError:
                found["input"] = {}
        return [ForeignPiece(DIALECT, _encode(found))]

    def _hear_foreign(self, index: int, delta: Piece) -> None:
        found = self._foreign.get(index)
        if found is None:
            return
        if delta.partial_json is not None:
            found[""] = found.get("", "") + delta.partial_json
        elif delta.content is not None:
            found["content"] = delta.content

    def _number(self, index: int) -> int:
        block = self._blocks[index] = self._next
        self._next += 1
        return block

    def _seal(self, signature: str) -> Seal:
        found = unwrapped(signature, "")
        return found if found.origin else Seal(signature, self._sitting.origin)

    # --- the message ------------------------------------------------------------------------------------------------

    def _message_delta(self, seen: Event) -> list[Delta]:
        if seen.delta is not None and seen.delta.stop_reason is not None:
            self._stop = seen.delta
        if seen.usage is UNSET:
            return []
        self._begun = usage.merged(self._begun, bytes(seen.usage))
        reported = usage.reported(self._begun)
        return [UsageNoted(reported, self._tier())] if reported is not None else []

    def _tier(self) -> str | None:
        return usage.tier(self._begun) if self._begun is not None else None


def citation(raw: bytes) -> Citation:
    """A citation of any of Anthropic's kinds."""
    found = msgspec.json.decode(raw)
    own = Foreign(DIALECT, raw)
    if not isinstance(found, dict):
        return Citation(own=own)
    title = found.get("title") or found.get("document_title")
    url, text = found.get("url"), found.get("cited_text")
    return Citation(
        url if isinstance(url, str) else None,
        title if isinstance(title, str) else None,
        text if isinstance(text, str) else None,
        own=own,
    )
