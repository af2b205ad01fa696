"""Neutral pieces become the Responses API's events.

Rule 1: response.created comes first and holds a whole Response; numbers count up from 0 without a gap.
Rule 2: an item is added before anything is said of it, has one id throughout, and is done before the next is added. Words
        that follow each other are parts of one message.
Rule 3: the last event holds every item of the output; there is no `[DONE]`.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import Citation, Seal, TokenLogprob
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Failure,
    ForeignPiece,
    Ping,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    ToolStart,
)
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.openai_responses import errors, items
from tollkeeper.dialects.openai_responses.decoder import DIALECT
from tollkeeper.dialects.writing import StreamWriter, Words

_encode = msgspec.json.encode
_DELTA = b'event: %b\ndata: {"type":"%b","sequence_number":'


class ResponsesEncoder(StreamWriter):
    """Writes one stream. Feed it all pieces in their order."""

    dialect = DIALECT

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity, in_turn=True)
        self._number = 0
        self._start_of = Start(None, None)
        self._output: list[dict[str, Any]] = []
        self._parts: list[dict[str, Any]] | None = None
        """Parts of the message that is open."""
        self._block: Any = None
        """The start of the block that is open."""
        self._heard = False
        """Whether clients have heard of it."""
        self._name = ""
        """The id of the item that is open."""
        self._head = self._middle = self._tail = b""
        self._texts: list[str] = []
        self._likely: list[TokenLogprob] = []
        self._citations: list[Citation] = []
        self._seal: Seal | None = None
        self._said = 0

    def _event(self, kind: str, **members: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        data = {"type": kind, "sequence_number": number, **members}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(data))

    # --- items ------------------------------------------------------------------------------------------------------

    @property
    def _index(self) -> int:
        return len(self._output)

    def _new_name(self, kind: str) -> str:
        self._name = f"{kind}_{self._identity.id}_{self._index}"
        return self._name

    def _done(self, item: dict[str, Any]) -> bytes:
        said = self._event("response.output_item.done", output_index=self._index, item=item)
        self._output.append(item)
        return said

    def _words(self, start: Words) -> bytes:
        """A block without words is not begun, unless something is known of it."""
        self._announce(start)
        self._writers[TextDelta] = self._first_text
        return b""

    def _announce(self, start: Any) -> None:
        self._block = start
        self._heard = False
        self._texts = []
        self._citations = []
        self._likely = []
        self._seal = None

    def _begin(self) -> bytes:
        self._heard = True
        self._writers[TextDelta] = self._text
        return self._reasoning() if isinstance(self._block, ReasoningStart) else self._part()

    def _first_text(self, delta: TextDelta) -> bytes:
        return self._begin() + self._text(delta)

    def _prepare(self, kind: bytes, tail: bytes = b"}\n\n", **members: int) -> None:
        """What stands around each piece of the block's words, so that writing one is joining five."""
        self._head = _DELTA % (kind, kind)
        place = b'","output_index":%d' % self._index
        place += b"".join(b',"%b":%d' % (name.encode(), value) for name, value in members.items())
        self._middle = b',"item_id":"' + self._name.encode() + place + b',"delta":'
        self._tail = tail

    def _text(self, delta: TextDelta) -> bytes:
        self._texts.append(delta.text)
        tail = self._tail
        if delta.logprobs:
            self._likely += delta.logprobs
            tail = tail.replace(b"[]", _encode(items.logprobs(delta.logprobs)))
        number = self._number
        self._number = number + 1
        return b"%b%d%b%b%b" % (self._head, number, self._middle, _encode(delta.text), tail)

    def _part(self) -> bytes:
        out = b""
        if self._parts is None:
            self._parts = []
            self._said = 0
            item = items.message(self._new_name("msg"), [], "in_progress")
            out = self._event("response.output_item.added", output_index=self._index, item=item)
        index = len(self._parts)
        place = {"item_id": self._name, "output_index": self._index, "content_index": index}
        if isinstance(self._block, RefusalStart):
            self._prepare(b"response.refusal.delta", content_index=index)
            return out + self._event("response.content_part.added", **place, part=items.refusal_part(""))
        self._prepare(b"response.output_text.delta", b',"logprobs":[]}\n\n', content_index=index)
        return out + self._event("response.content_part.added", **place, part=items.text_part("", []))

    def _words_end(self, text: str) -> bytes:
        parts = self._parts if self._parts is not None else []
        place = {"item_id": self._name, "output_index": self._index, "content_index": len(parts)}
        if isinstance(self._block, RefusalStart):
            part = items.refusal_part(text)
            out = self._event("response.refusal.done", **place, refusal=text)
        else:
            annotations = self._annotations(text)
            out = b"".join(
                self._event("response.output_text.annotation.added", **place, annotation_index=index, annotation=found)
                for index, found in enumerate(annotations)
            )
            likely = items.logprobs(self._likely)
            out += self._event("response.output_text.done", **place, text=text, logprobs=likely)
            part = items.text_part(text, annotations, self._likely)
        parts.append(part)
        return out + self._event("response.content_part.done", **place, part=part)

    def _annotations(self, text: str) -> list[dict[str, Any]]:
        begun, self._said = self._said, self._said + len(text)
        found = [items.annotation(citation, begun, self._said) for citation in self._citations]
        return [annotation for annotation in found if annotation is not None]

    def _message_end(self) -> bytes:
        """The words are over: what comes next is another item."""
        if self._parts is None:
            return b""
        item = items.message(self._name, self._parts)
        self._parts = None
        return self._done(item)

    def _reasoning(self) -> bytes:
        out = self._message_end()
        added = items.reasoning(self._new_name("rs"), "", None)
        self._prepare(b"response.reasoning_summary_text.delta", summary_index=0)
        out += self._event("response.output_item.added", output_index=self._index, item=added)
        place = {"item_id": self._name, "output_index": self._index, "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        return out + self._event("response.reasoning_summary_part.added", **place, part=part)

    def _reasoning_end(self, text: str) -> bytes:
        place: dict[str, Any] = {"item_id": self._name, "output_index": self._index, "summary_index": 0}
        part = {"type": "summary_text", "text": text}
        out = self._event("response.reasoning_summary_text.done", **place, text=text)
        out += self._event("response.reasoning_summary_part.done", **place, part=part)
        sealed = items.sealed(self._seal) if self._seal is not None else None
        return out + self._done(items.reasoning(self._name, text, sealed))

    def _only_sealed(self, value: str) -> bytes:
        """Reasoning of which nothing but a seal is known."""
        item = items.reasoning(self._new_name("rs"), "", value)
        return self._event("response.output_item.added", output_index=self._index, item=item) + self._done(item)

    def _tool(self, start: ToolStart) -> bytes:
        out = self._message_end()
        if start.seal is not None:
            out += self._only_sealed(items.sealed(start.seal, of_call=True))
        self._announce(start)
        name = self._new_name("ctc" if start.custom else "fc")
        self._prepare(
            b"response.custom_tool_call_input.delta" if start.custom else b"response.function_call_arguments.delta"
        )
        self._writers[TextDelta] = self._text
        item = items.call(name, start.id, start.name, "", start.custom, "in_progress")
        return out + self._event("response.output_item.added", output_index=self._index, item=item)

    def _tool_end(self, start: ToolStart, text: str) -> bytes:
        text = text or ("" if start.custom else "{}")
        place = {"item_id": self._name, "output_index": self._index}
        if start.custom:
            out = self._event("response.custom_tool_call_input.done", **place, input=text)
        else:
            out = self._event("response.function_call_arguments.done", **place, arguments=text, name=start.name)
        return out + self._done(items.call(self._name, start.id, start.name, text, start.custom))

    def _sealed(self, delta: Sealed) -> bytes:
        self._seal = delta.seal
        return b""

    def _cited(self, delta: Cited) -> bytes:
        self._citations.append(delta.citation)
        return b""

    def _block_end(self, delta: BlockEnd) -> bytes:
        start, text = self._block, "".join(self._texts)
        if isinstance(start, ToolStart):
            return self._tool_end(start, text)
        if self._heard:
            return self._reasoning_end(text) if isinstance(start, ReasoningStart) else self._words_end(text)
        if self._seal is not None:
            return self._message_end() + self._only_sealed(items.sealed(self._seal))
        return self._begin() + self._words_end("") if self._citations else b""

    def _foreign(self, delta: ForeignPiece) -> bytes:
        out = self._message_end()
        item = msgspec.json.decode(delta.data, type=dict[str, Any])
        return out + self._event("response.output_item.added", output_index=self._index, item=item) + self._done(item)

    # --- the response -----------------------------------------------------------------------------------------------

    def _whole(self, status: str, **members: Any) -> dict[str, Any]:
        start, given = self._start_of, self._identity
        name, created, model = (
            start.id or f"resp_{given.id}",
            start.created or given.created,
            start.model or given.model,
        )
        return items.response(name, created, model, given.asked, status=status, output=self._output, **members)

    def _start(self, delta: Start) -> bytes:
        self._start_of = delta
        begun = self._whole("in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def _ping(self, delta: Ping) -> bytes:
        return b": ping\n"

    def _failed(self, failure: Failure) -> bytes:
        out = errors.event(failure, self._number)
        self._number += 1
        failed = self._whole("failed", reported=self._reported, failure=failure)
        return out + self._event("response.failed", response=failed)

    def _end(self) -> bytes:
        out = self._message_end()
        status, why = items.ended(self._stop.reason, self._output)
        whole = self._whole(status, reported=self._reported, incomplete=why)
        return out + self._event(f"response.{status}", response=whole)
