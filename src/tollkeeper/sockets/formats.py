"""How an answer is written on a socket: as bare text, or as typed JSON frames (`tollkeeper.v1.json`)."""

from collections.abc import Awaitable
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from tollkeeper.core.call import Sink
from tollkeeper.core.deltas import Failure
from tollkeeper.core.events import Event
from tollkeeper.core.money import usd_from_nano

_encode = msgspec.json.Encoder().encode


class _Frame(Struct, tag_field="type", gc=False):
    id: str


class _Start(_Frame, tag="start"):
    request_id: str
    model: str | None


class _Delta(_Frame, tag="delta", omit_defaults=True):
    text: str
    choice: int = 0


class _Reasoning(_Frame, tag="reasoning", omit_defaults=True):
    text: str
    choice: int = 0


class _ToolCall(_Frame, tag="tool_call", omit_defaults=True):
    call_id: str
    name: str
    arguments: str
    choice: int = 0


class _Result(_Frame, tag="result"):
    value: msgspec.Raw


class _Usage(_Frame, tag="usage"):
    model: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    quality: str
    cost_usd: str | None


class _Done(_Frame, tag="done"):
    reason: str


class Format(Protocol):
    """One answer's writer is asked in this order: start; pieces; usage; done or error, once."""

    sequential: bool
    """Whether answers must come one after another, because nothing in them says which is which."""

    @property
    def blocked(self) -> Awaitable[None] | None:
        """See `core.call.Sink`."""
        ...

    def start(self, id: str, request_id: str, model: str | None) -> None: ...

    def text(self, id: str, text: str, choice: int) -> None: ...

    def reasoning(self, id: str, text: str, choice: int) -> None: ...

    def tool_call(self, id: str, call_id: str, name: str, arguments: str, choice: int) -> None: ...

    def result(self, id: str, value: bytes) -> None:
        """A whole answer that is JSON other than a string."""
        ...

    def usage(self, id: str, events: list[Event]) -> None: ...

    def done(self, id: str, reason: str) -> None: ...

    def error(self, id: str | None, failure: Failure) -> None: ...


class TextFormat:
    """The answer's words as they come; an error as the JSON object that it is over HTTP."""

    sequential = True

    def __init__(self, sink: Sink, end: str) -> None:
        self._sink = sink
        self._end = end.encode()

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked

    def start(self, id: str, request_id: str, model: str | None) -> None:
        """Nothing."""

    def text(self, id: str, text: str, choice: int) -> None:
        if text and choice == 0:
            self._sink.write(text.encode("utf-8", "replace"))

    def reasoning(self, id: str, text: str, choice: int) -> None:
        """Nothing: it is not the answer."""

    def tool_call(self, id: str, call_id: str, name: str, arguments: str, choice: int) -> None:
        """As JSON: no words stand for it."""
        call = {"id": call_id, "name": name, "arguments": arguments}
        self._sink.write(_encode({"tool_call": call}))

    def result(self, id: str, value: bytes) -> None:
        self._sink.write(value)

    def usage(self, id: str, events: list[Event]) -> None:
        """Nothing."""

    def done(self, id: str, reason: str) -> None:
        if self._end:
            self._sink.write(self._end)

    def error(self, id: str | None, failure: Failure) -> None:
        self._sink.write(_encode({"error": _envelope(failure)}))


class JsonFormat:
    """Typed frames, each with the id of the request that it answers."""

    sequential = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked

    def start(self, id: str, request_id: str, model: str | None) -> None:
        self._sink.write(_encode(_Start(id=id, request_id=request_id, model=model)))

    def text(self, id: str, text: str, choice: int) -> None:
        if text:
            self._sink.write(_encode(_Delta(id=id, text=text, choice=choice)))

    def reasoning(self, id: str, text: str, choice: int) -> None:
        if text:
            self._sink.write(_encode(_Reasoning(id=id, text=text, choice=choice)))

    def tool_call(self, id: str, call_id: str, name: str, arguments: str, choice: int) -> None:
        self._sink.write(_encode(_ToolCall(id=id, call_id=call_id, name=name, arguments=arguments, choice=choice)))

    def result(self, id: str, value: bytes) -> None:
        self._sink.write(_encode(_Result(id=id, value=msgspec.Raw(value))))

    def usage(self, id: str, events: list[Event]) -> None:
        last = events[-1]
        costs = [event.cost_nano for event in events]
        known = [cost for cost in costs if cost is not None]
        frame = _Usage(
            id=id,
            model=last.provider if last.model is None else f"{last.provider}/{last.model}",
            attempts=len(events),
            input_tokens=sum(event.usage.input_tokens for event in events),
            cached_input_tokens=sum(event.usage.cached_input_tokens for event in events),
            output_tokens=sum(event.usage.output_tokens for event in events),
            reasoning_tokens=sum(event.usage.reasoning_tokens for event in events),
            quality=last.quality,
            cost_usd=usd_from_nano(sum(known)) if len(known) == len(costs) else None,
        )
        self._sink.write(_encode(frame))

    def done(self, id: str, reason: str) -> None:
        self._sink.write(_encode(_Done(id=id, reason=reason)))

    def error(self, id: str | None, failure: Failure) -> None:
        self._sink.write(_encode({"type": "error", "id": id, "error": _envelope(failure)}))


def writer(format: Literal["text", "json"], sink: Sink, end: str) -> Format:
    """The writer of a socket's format."""
    return JsonFormat(sink) if format == "json" else TextFormat(sink, end)


def _envelope(failure: Failure) -> dict[str, Any]:
    return {
        "message": failure.message,
        "type": failure.type or "server_error",
        "param": failure.param,
        "code": failure.code,
        "status": failure.status,
    }
