"""The Responses API's events become neutral pieces (https://platform.openai.com/docs/api-reference/responses-streaming).

Rule 1: what has streamed as deltas is not said again by `…done` events; what has not, is. Some servers send only the one,
        some only the other, some nothing but the last event.
Rule 2: an item of a kind that only this dialect has (hosted tools, compaction, …) is passed on whole when it is done.
Rule 3: reasoning begins when its first words come; where none come, only its seal is known, and it is redacted.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.conversation import Citation, Foreign, Seal, TokenLogprob
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Cited,
    Delta,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
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
from tollkeeper.core.seals import belongs_to_call, unwrapped
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects import lenient, openai_usage
from tollkeeper.dialects.openai_responses import errors
from tollkeeper.wire import sse

DIALECT = "openai_responses"
_NULL = b"null"
_STOPS: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "filter"}
_encode = msgspec.json.encode


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class Logprob(TopLogprob):
    top_logprobs: list[TopLogprob] | None = None


class Event(Struct):
    type: str = ""
    delta: str | None = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    item: Raw | UnsetType = UNSET
    annotation: Raw | UnsetType = UNSET
    logprobs: list[Logprob] | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    response: Raw | UnsetType = UNSET


class _Reason(Struct):
    reason: str | None = None


class Response(Struct):
    id: str | None = None
    created_at: float | None = None
    model: str | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    incomplete_details: _Reason | None = None
    service_tier: str | None = None


_decode = lenient.decoder(Event)
decode_response = lenient.decoder(Response)


class _Item:
    """One item of the output: its open block, and what has been heard of it."""

    __slots__ = ("block", "ended", "heard", "kind", "opened", "part")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.block: int | None = None
        self.part = -1
        """Which part of its content the open block is, or which part of a summary was heard last."""
        self.opened: set[int] = set()
        self.heard = False
        """Whether the open block has had words."""
        self.ended = False


class ResponsesDecoder:
    """Reads events until the response is completed, incomplete or failed; or one whole response."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._items: dict[int, _Item] = {}
        self._next = 0
        self._started = False
        self._called = False
        self._refused = False
        self._call_seal: Seal | None = None
        self.done = False
        self._readers: dict[str, Callable[[Event], list[Delta]]] = {
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._refusal,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.output_text.done": self._text_done,
            "response.refusal.done": self._text_done,
            "response.function_call_arguments.done": self._arguments_done,
            "response.custom_tool_call_input.done": self._arguments_done,
            "response.output_text.annotation.added": self._annotation,
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.created": self._response,
            "response.in_progress": self._response,
            "response.queued": self._response,
            "response.completed": self._terminal,
            "response.incomplete": self._terminal,
            "response.failed": self._terminal,
            "response.cancelled": self._terminal,
        }

    @property
    def finished(self) -> bool:
        return self.done

    def feed(self, event: bytes) -> list[Delta]:
        data = sse.data_of(event)
        if data is None:
            return [PING]
        if self.done or data == b"[DONE]":
            return []
        seen = _decode(data)
        reader = self._readers.get(seen.type)
        if reader is not None:
            return reader(seen)
        if seen.type == "error":
            self.done = True
            return [Failed(errors.failure(data))]
        return []

    def close(self) -> list[Delta]:
        """Nothing is ever held back."""
        return []

    # --- words ------------------------------------------------------------------------------------------------------

    def _text(self, seen: Event) -> list[Delta]:
        item = self._items.get(seen.output_index)
        if item is None or item.part != seen.content_index or item.block is None or seen.logprobs:
            return self._words(seen, TextStart, seen.delta)
        if not seen.delta:
            return []
        item.heard = True
        return [TextDelta(item.block, seen.delta)]

    def _refusal(self, seen: Event) -> list[Delta]:
        self._refused = True
        return self._words(seen, RefusalStart, seen.delta)

    def _words(self, seen: Event, kind: type[Any], text: str | None) -> list[Delta]:
        if not text and seen.annotation is UNSET:
            return []
        item = self._item(seen.output_index, "message")
        out: list[Delta] = []
        if item.part != seen.content_index or item.block is None:
            if seen.content_index in item.opened:
                return []
            self._end(item, out)
            self._begin(item, kind(self._next, 0), out)
            item.part = seen.content_index
            item.opened.add(seen.content_index)
        if text and item.block is not None:
            item.heard = True
            likely = tuple(_logprob(found) for found in seen.logprobs) if seen.logprobs else None
            out.append(TextDelta(item.block, text, likely))
        return out

    def _text_done(self, seen: Event) -> list[Delta]:
        item = self._item(seen.output_index, "message")
        whole = seen.text if seen.refusal is None else seen.refusal
        if seen.content_index in item.opened and item.heard:
            return []
        return self._words(seen, TextStart if seen.refusal is None else RefusalStart, whole)

    def _annotation(self, seen: Event) -> list[Delta]:
        if seen.annotation is UNSET:
            return []
        out = self._words(seen, TextStart, None)
        block = self._item(seen.output_index, "message").block
        return out if block is None else [*out, Cited(block, citation(bytes(seen.annotation)))]

    def _thought(self, seen: Event) -> list[Delta]:
        if not seen.delta:
            return []
        item = self._item(seen.output_index, "reasoning")
        out: list[Delta] = []
        text = seen.delta
        if item.block is None:
            self._begin(item, ReasoningStart(self._next), out)
        elif item.part != seen.summary_index:
            text = "\n\n" + text
        item.part = seen.summary_index
        item.heard = True
        out.append(TextDelta(item.block or 0, text))
        return out

    # --- tools ------------------------------------------------------------------------------------------------------

    def _arguments(self, seen: Event) -> list[Delta]:
        item = self._items.get(seen.output_index)
        if item is None or item.block is None or not seen.delta:
            return []
        item.heard = True
        return [TextDelta(item.block, seen.delta)]

    def _arguments_done(self, seen: Event) -> list[Delta]:
        item = self._items.get(seen.output_index)
        text = seen.arguments if seen.arguments is not None else seen.input
        if item is None or item.block is None or item.heard or not text:
            return []
        item.heard = True
        return [TextDelta(item.block, text)]

    # --- items ------------------------------------------------------------------------------------------------------

    def _item(self, index: int, kind: str) -> _Item:
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item(kind)
        return item

    def _begin(self, item: _Item, start: Any, out: list[Delta]) -> None:
        item.block = self._next
        item.heard = False
        self._next += 1
        out.append(start)

    def _end(self, item: _Item, out: list[Delta]) -> None:
        if item.block is not None:
            out.append(BlockEnd(item.block))
            item.block = None

    def _item_added(self, seen: Event) -> list[Delta]:
        found = _object(seen.item)
        kind = str(found.get("type"))
        item = self._items[seen.output_index] = _Item(kind)
        if kind not in ("function_call", "custom_tool_call"):
            return []
        out: list[Delta] = []
        self._call(item, found, out)
        return out

    def _call(self, item: _Item, found: dict[str, Any], out: list[Delta]) -> None:
        self._called = True
        name = str(found.get("name") or "")
        seal, self._call_seal = self._call_seal, None
        call = str(found.get("call_id") or found.get("id") or f"call_{self._sitting.id}_{self._next}")
        custom = found.get("type") == "custom_tool_call"
        start = ToolStart(self._next, call, self._sitting.renamed.get(name, name), 0, custom, seal)
        self._begin(item, start, out)

    def _item_done(self, seen: Event) -> list[Delta]:
        found = _object(seen.item)
        kind = str(found.get("type"))
        item = self._item(seen.output_index, kind)
        out: list[Delta] = []
        if item.ended:
            return out
        item.ended = True
        if kind == "message":
            self._message_done(seen, item, found, out)
        elif kind == "reasoning":
            self._reasoning_done(seen, item, found, out)
        elif kind in ("function_call", "custom_tool_call"):
            if item.block is None:
                self._call(item, found, out)
            text = found.get("arguments" if kind == "function_call" else "input")
            if not item.heard and isinstance(text, str) and text:
                out.append(TextDelta(item.block or 0, text))
        else:
            out.append(ForeignPiece(DIALECT, _encode(found)))
        self._end(item, out)
        return out

    def _message_done(self, seen: Event, item: _Item, found: dict[str, Any], out: list[Delta]) -> None:
        for index, part in enumerate(found.get("content") or ()):
            if index in item.opened or not isinstance(part, dict):
                continue
            kind = RefusalStart if part.get("type") == "refusal" else TextStart
            self._refused = self._refused or kind is RefusalStart
            text = part.get("text") or part.get("refusal")
            likely = msgspec.convert(part.get("logprobs") or [], list[Logprob]) or None
            cited = [Raw(_encode(annotation)) for annotation in part.get("annotations") or ()]
            first = cited[0] if cited else UNSET
            place = Event(output_index=seen.output_index, content_index=index, logprobs=likely, annotation=first)
            out += self._words(place, kind, text if isinstance(text, str) else None)
            out += [Cited(item.block or 0, citation(bytes(annotation))) for annotation in cited]

    def _reasoning_done(self, seen: Event, item: _Item, found: dict[str, Any], out: list[Delta]) -> None:
        sealed = found.get("encrypted_content")
        if isinstance(sealed, str) and belongs_to_call(sealed):
            self._call_seal = unwrapped(sealed, DIALECT)
            return
        if item.block is None:
            parts = [part.get("text") for part in (found.get("summary") or found.get("content") or ()) if part]
            text = "\n\n".join(part for part in parts if isinstance(part, str))
            if text:
                out += self._thought(Event(output_index=seen.output_index, delta=text))
        if not isinstance(sealed, str) or not sealed:
            return
        if item.block is None:
            self._begin(item, ReasoningStart(self._next, 0, True), out)
        out.append(Sealed(item.block or 0, self._seal(str(found.get("id") or ""), sealed)))

    def _seal(self, name: str, sealed: str) -> Seal:
        """Its item's id belongs to it: both are given back together."""
        ours = unwrapped(sealed, "")
        return ours if ours.origin else Seal(f"{name}:{sealed}", self._sitting.origin)

    # --- the response -----------------------------------------------------------------------------------------------

    def _response(self, seen: Event) -> list[Delta]:
        if self._started or seen.response is UNSET:
            return []
        return self._start(decode_response(bytes(seen.response)))

    def _start(self, response: Response) -> list[Delta]:
        self._started = True
        created = int(response.created_at) if response.created_at is not None else None
        return [Start(response.id, response.model, created)]

    def _terminal(self, seen: Event) -> list[Delta]:
        self.done = True
        return self.end(decode_response(bytes(seen.response)) if seen.response is not UNSET else Response())

    def end(self, response: Response) -> list[Delta]:
        """The end of a stream, or a whole response."""
        out = [] if self._started else self._start(response)
        for index, raw in enumerate(response.output or ()):
            if index not in self._items or not self._items[index].ended:
                out += self._item_done(Event(output_index=index, item=raw))
        for item in self._items.values():
            self._end(item, out)
        reported = None
        if response.usage is not UNSET:
            reported = openai_usage.reported(bytes(response.usage))
        if reported is not None:
            out.append(UsageNoted(reported, response.service_tier))
        if response.status in ("failed", "cancelled"):
            failure = Failure(f"The response was {response.status}.")
            if response.error is not UNSET and bytes(response.error) != _NULL:
                failure = errors.failure(bytes(response.error))
            return [*out, Failed(failure)]
        reason: StopReason = "end"
        if response.incomplete_details is not None or response.status == "incomplete":
            why = response.incomplete_details.reason if response.incomplete_details is not None else None
            reason = _STOPS.get(why or "", "length")
        elif self._called:
            reason = "tool"
        elif self._refused:
            reason = "refusal"
        return [*out, Finish(reason), END]


def _object(raw: Raw | UnsetType) -> dict[str, Any]:
    found = msgspec.json.decode(raw) if raw is not UNSET else None
    return found if isinstance(found, dict) else {}


def citation(raw: bytes) -> Citation:
    """An annotation of any of OpenAI's kinds."""
    found = msgspec.json.decode(raw)
    own = Foreign(DIALECT, raw)
    if not isinstance(found, dict):
        return Citation(own=own)
    url, title, content = (found.get(name) for name in ("url", "title", "content"))
    start, end = found.get("start_index"), found.get("end_index")
    title = title or found.get("filename")
    return Citation(
        url if isinstance(url, str) else None,
        title if isinstance(title, str) else None,
        content if isinstance(content, str) else None,
        start if isinstance(start, int) else None,
        end if isinstance(end, int) else None,
        own,
    )


def _logprob(found: Logprob) -> TokenLogprob:
    top = tuple(TokenLogprob(other.token, other.logprob, other.bytes) for other in found.top_logprobs or ())
    return TokenLogprob(found.token, found.logprob, found.bytes, top)
