"""A published API that is declared: a request's fields become a prompt, the model's text becomes the answer.

What is declared decides how a request is read:
- neither prompt nor input: it is a chat request; messages and parameters go to the model as they came
- a prompt: its fields fill the template; input, where given, says which there are
- an input without a prompt: a chat request where it has `messages`, else its fields go to the model as JSON
"""

from collections.abc import Callable, Mapping
from typing import Any

import fastjsonschema
import msgspec
from msgspec import Raw, Struct

from tollkeeper.apis import completions, mistakes, schemas
from tollkeeper.apis.asked import Answered, Asked, Description, Pieces
from tollkeeper.apis.completions import Choice, Overheard
from tollkeeper.apis.schemas import Schema
from tollkeeper.apis.text import AnswerTemplate, piece, text_of
from tollkeeper.core.call import Reply
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ports import Handler
from tollkeeper.core.template import Template
from tollkeeper.dialects.openai_request import flag, string
from tollkeeper.wire import json_text

OWN_FIELDS = frozenset(("model", "stream"))
"""Fields that every declared API has, whatever its input: which model answers, and whether its words come one by one."""
_DROPPED = frozenset((b"content-type", b"content-length", b"content-encoding", b"etag", b"cache-control"))
_encode = msgspec.json.Encoder().encode


class _Message(Struct):
    role: str


class _Chat(Struct):
    """What a chat request must be like for us to send it; the rest is the model's business."""

    messages: list[_Message]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None


_read_chat = msgspec.json.Decoder(_Chat).decode


class Declared(Struct, frozen=True, kw_only=True):
    """What the configuration says, read and compiled."""

    description: Description
    model: str | None
    system: Template | None = None
    prompt: Template | None = None
    answer: AnswerTemplate | None = None
    """None: the text itself, or the object where there is an output schema."""
    input: Callable[[Any], Any] | None = None
    chats: bool = False
    """Whether requests are chat requests."""
    output: Schema | None = None
    check_output: Callable[[Any], Any] | None = None
    parameters: Mapping[str, bytes] = {}
    """JSON by name."""


class DeclaredApi:
    """Implements `Api`."""

    def __init__(self, declared: Declared, handle: Handler) -> None:
        self.description = declared.description
        self._declared = declared
        self._handle = handle
        self._format = None if declared.output is None else _response_format(declared.description.name, declared.output)

    async def answer(self, asked: Asked) -> Answered:
        """Asks the model. Raises TollkeeperError."""
        call, declared = asked.call, self._declared
        values = self._fill(asked)
        model = call.model = string(asked.members, "model") or declared.model
        if model is None:
            raise CallerError("You must provide a model parameter.", code="missing_required_parameter", param="model")
        if not model.isprintable():
            raise CallerError("The model's name has a control character in it.", code="invalid_value", param="model")
        call.streamed = asked.streamed
        reply = await self._handle(call)
        if reply.status >= 400 or call.dry:
            return Answered(reply.headers, reply.body, reply.status)
        headers = [header for header in reply.headers if header[0] not in _DROPPED]
        template = declared.answer
        if reply.pour is not None and _is_stream(reply):
            around = template is None or template.splits

            async def pour(pieces: Pieces) -> None:
                await (self._pour(reply, pieces, values) if around else self._pour_at_end(reply, pieces, values))

            return Answered(headers, pour=pour)
        text, choice = _text(completions.completion(await completions.whole_body(reply)))
        body = self._whole(text, choice.finish_reason, model, values)
        if not asked.streamed:
            return Answered(headers, body)

        async def pour_one(pieces: Pieces) -> None:
            pieces.take([body])

        return Answered(headers, pour=pour_one)

    def _fill(self, asked: Asked) -> dict[str, Any]:
        """Puts into the call what the model is asked; returns the request's fields where templates need them."""
        declared, call = self._declared, asked.call
        values: dict[str, Any] = {}
        if declared.input is not None or declared.prompt is not None or declared.system is not None:
            decoded = {name: msgspec.json.decode(value) for name, value in asked.members.items()}
            values = {name: value for name, value in decoded.items() if name not in OWN_FIELDS}
            if declared.input is not None:
                values = schemas.checked(declared.input, decoded if declared.chats else values)
            elif not declared.chats:
                self._refuse_unknown(values)
        if not declared.chats:
            question = _encode(values).decode() if declared.prompt is None else declared.prompt.fill(values)
            messages: list[dict[str, str]] = [{"role": "user", "content": question}]
            if declared.system is not None:
                messages.insert(0, {"role": "system", "content": declared.system.fill(values)})
            members = {"messages": _encode(messages), **declared.parameters}
            call.members = {name: Raw(value) for name, value in members.items()}
            call.body = b"{" + b",".join([_encode(name) + b":" + value for name, value in members.items()]) + b"}"
            changes: dict[str, bytes] = {}
            model = string(asked.members, "model") or declared.model
        else:
            _check_chat(asked.body)
            call.body, call.members = asked.body, asked.members
            changes = {name: value for name, value in declared.parameters.items() if name not in asked.members}
            model = None if "model" in asked.members else declared.model
            if declared.system is not None:
                said = _encode({"role": "system", "content": declared.system.fill(values)})
                rest = bytes(asked.members["messages"]).lstrip()[1:]
                changes["messages"] = b"[" + said + (b"," if rest.strip() != b"]" else b"") + rest
        if model is not None:
            changes["model"] = _encode(model)
        if asked.streamed != flag(asked.members, "stream") or (asked.streamed and not declared.chats):
            changes["stream"] = b"true" if asked.streamed else b"false"
        if self._format is not None:
            changes["response_format"] = self._format
        if changes:
            body = call.body
            assert isinstance(body, bytes)
            call.body = json_text.replaced(body, dict(call.members), changes)
            call.members = {**call.members, **{name: Raw(value) for name, value in changes.items()}}
        return values

    def _refuse_unknown(self, values: Mapping[str, Any]) -> None:
        known = self._known
        for name in values:
            if name not in known:
                raise mistakes.unknown_field(name)
        for name in self.description.request.get("required", ()):
            if name not in values:
                raise CallerError(f"Missing required field: '{name}'.", code="missing_required_parameter", param=name)

    @property
    def _known(self) -> Mapping[str, Any]:
        known: Mapping[str, Any] = self.description.request["properties"]
        return known

    # --- answers ----------------------------------------------------------------------------------------------------

    def _whole(self, text: str, finish_reason: str | None, model: str | None, values: dict[str, Any]) -> bytes:
        declared = self._declared
        data = None if declared.check_output is None else self._checked_output(text, finish_reason)
        if declared.answer is None:
            return _encode(text) if declared.check_output is None else text.encode()
        about = {"input": values, "model": model, "finish_reason": finish_reason, "data": data}
        return _encode(declared.answer.fill(text, about))

    def _checked_output(self, text: str, finish_reason: str | None) -> Any:
        declared = self._declared
        assert declared.check_output is not None
        name = self.description.name
        try:
            data = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            reason = "it was cut short" if finish_reason == "length" else "it is not JSON"
            raise schemas.bad_output(name, reason) from None
        try:
            declared.check_output(data)
        except fastjsonschema.JsonSchemaValueException as error:
            raise schemas.bad_output(name, mistakes.said(error)[0]) from None
        return data

    async def _pour(self, reply: Reply, pieces: Pieces, values: dict[str, Any]) -> None:
        """Passes the text on as it comes, with what stands before and after it."""
        assert reply.pour is not None
        template, checked = self._declared.answer, self._declared.check_output is not None
        about: dict[str, Any] = {"input": values, "model": None, "finish_reason": None, "data": None}
        before = "" if template is None else template.before(about)
        if before:
            pieces = _Led(pieces, piece(before))
        kept = _Kept(pieces) if checked else None
        overheard = Overheard(pieces if kept is None else kept)
        await _through(reply, overheard)
        if kept is not None:
            about["data"] = self._checked_output(kept.text(), overheard.finish_reason)
        if isinstance(pieces, _Led):
            pieces.begin()
        after = (
            ""
            if template is None
            else template.after(about | {"model": overheard.model, "finish_reason": overheard.finish_reason})
        )
        if after:
            pieces.take([piece(after)])

    async def _pour_at_end(self, reply: Reply, pieces: Pieces, values: dict[str, Any]) -> None:
        """For a template that needs the text as a whole: it is one piece."""
        kept = _Kept(None)
        overheard = Overheard(kept)
        await _through(reply, overheard)
        pieces.take([self._whole(kept.text(), overheard.finish_reason, overheard.model, values)])


class _Led:
    """Pieces with one before them, which goes together with the first: a write is the dearest part of a piece."""

    def __init__(self, further: Pieces, first: bytes) -> None:
        self._further = further
        self._first = first

    def take(self, pieces: list[bytes]) -> None:
        if self._first:
            pieces = [self._first, *pieces]
            self._first = b""
        self._further.take(pieces)

    def begin(self) -> None:
        """The first goes now, if it has not gone."""
        if self._first:
            self.take([])

    @property
    def blocked(self) -> Any:
        return self._further.blocked


class _Kept:
    """Pieces that are kept to be looked at as a whole, and passed on where somebody wants them."""

    def __init__(self, further: Pieces | None) -> None:
        self._further = further
        self._pieces: list[bytes] = []

    def take(self, pieces: list[bytes]) -> None:
        self._pieces += pieces
        if self._further is not None:
            self._further.take(pieces)

    @property
    def blocked(self) -> Any:
        return None if self._further is None else self._further.blocked

    def text(self) -> str:
        return text_of(self._pieces)


async def _through(reply: Reply, overheard: Overheard) -> None:
    """Pours the model's stream. Raises TollkeeperError, also where the stream ends with an error event."""
    assert reply.pour is not None
    await reply.pour(overheard)
    if overheard.complaint is not None:
        raise overheard.complaint


def _is_stream(reply: Reply) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers)


def _text(found: completions.Completion) -> tuple[str, Choice]:
    choice = found.choices[0]
    message = choice.message
    return message.content if message.content is not None else message.refusal or "", choice


def _check_chat(body: bytes) -> None:
    """Raises CallerError where it is no chat request."""
    try:
        chat = _read_chat(body)
    except msgspec.ValidationError as error:
        raise mistakes.by_type(error) from None
    if not chat.messages:
        raise CallerError("Invalid 'messages': expected at least one.", code="invalid_value", param="messages")


def _response_format(name: str, schema: Schema) -> bytes:
    """https://platform.openai.com/docs/guides/structured-outputs"""
    described = {"name": name, "schema": schema, "strict": schemas.strict(schema)}
    return _encode({"type": "json_schema", "json_schema": described})
