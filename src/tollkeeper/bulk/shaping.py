"""A record becomes a request: prompt, messages, or an OpenAI batch line, with the job's model, template and parameters.

Rule: what is wrong with a row is the row's error and says which row; what is wrong with the job is said before it begins.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import force_setattr

from tollkeeper.apis import schemas
from tollkeeper.bulk.records import Record
from tollkeeper.core.errors import CallerError
from tollkeeper.core.template import Template
from tollkeeper.wire.json_text import Members

CHAT = "chat/completions"
EMBEDDINGS = "embeddings"
# What a row may set beside its prompt: https://platform.openai.com/docs/api-reference/chat/create
_PARAMETERS = frozenset(
    (
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
        "dimensions",
        "encoding_format",
    )
)
_ID = ("custom_id", "id")
_encode = msgspec.json.Encoder().encode


class Request(Struct, frozen=True):
    """What is asked for one row."""

    index: int
    id: str | int | None
    """The input's own name for the row."""
    path: str
    """Below the version prefix: chat/completions."""
    body: bytes
    model: str | None = None
    """The model that the body names, where `members` are given."""
    members: Members = {}
    """The body's, where they are known without reading it."""


class RowProblem(Exception):
    """A row that cannot become a request; nothing is sent for it."""

    def __init__(self, message: str, id: str | int | None = None, said: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.id = id
        self.said = said


class Frame(Struct, frozen=True):
    """What all requests have in common that ask one text of one model. Pieces are JSON."""

    model: str
    before: bytes
    after: bytes
    first: Members
    """The members before the messages."""
    last: Members
    """Those after them."""

    def request(self, index: int, id: str | int | None, text: str, system: str | None) -> Request:
        """What asks `text` after `system`."""
        if system is None:
            messages = b'[{"role":"user","content":%b}]' % _encode(text)
        else:
            messages = b'[{"role":"system","content":%b},{"role":"user","content":%b}]' % (
                _encode(system),
                _encode(text),
            )
        members = {**self.first, "messages": Raw(messages), **self.last}
        return Request(index, id, CHAT, self.before + messages + self.after, self.model, members)


class Shape(Struct, frozen=True, kw_only=True):
    """How a job's rows become requests. Raises CallerError where made from what cannot work."""

    model: str | None = None
    endpoint: str = CHAT
    prompt: Template | None = None
    system: Template | None = None
    parameters: Mapping[str, Any] = {}
    schema: Mapping[str, Any] | None = None
    """A JSON Schema that answers must follow."""
    frame: Frame | None = None
    """Found out by itself; None where requests have little in common."""

    def __post_init__(self) -> None:
        fixed = {**self.parameters, **_format(self.schema)}
        if self.model is None or self.endpoint != CHAT or fixed.keys() & {"model", "messages"} or fixed.get("stream"):
            return
        model = Raw(_encode(self.model))
        last = {name: Raw(_encode(value)) for name, value in fixed.items()}
        after = b"".join(b",%b:%b" % (_encode(name), bytes(value)) for name, value in last.items())
        frame = Frame(self.model, b'{"model":%b,"messages":' % bytes(model), after + b"}", {"model": model}, last)
        force_setattr(self, "frame", frame)

    def request(self, record: Record) -> Request:
        """Raises RowProblem."""
        value = record.value
        if value is None or record.problem is not None:
            raise RowProblem(record.problem or "the row could not be read", said=record.said)
        if isinstance(value, str):
            return self._asked({"prompt": value}, record, None)
        found = next((value[name] for name in _ID if name in value), None)
        id = found if isinstance(found, (str, int)) and not isinstance(found, bool) else None
        try:
            if isinstance(value.get("body"), dict):
                return self._batch_line(record.index, id, value)
            return self._asked(value, record, id)
        except RowProblem as problem:
            problem.id = id
            raise
        except CallerError as error:
            raise RowProblem(f"row {record.index} (line {record.line}): {error.message}", id) from None

    def _batch_line(self, index: int, id: str | int | None, line: Mapping[str, Any]) -> Request:
        """https://platform.openai.com/docs/guides/batch: {"custom_id", "method", "url", "body"}."""
        if line.get("method", "POST") != "POST":
            raise RowProblem("only POST requests can be run")
        url = line.get("url", f"/v1/{self.endpoint}")
        if not isinstance(url, str):
            raise RowProblem("'url' must be a path like /v1/chat/completions")
        body = {**line["body"], **self.parameters}
        if "model" not in body and self.model is not None:
            body["model"] = self.model
        return Request(index, id, url.removeprefix("/").removeprefix("v1/"), self._whole(body))

    def _asked(self, value: Mapping[str, Any], record: Record, id: str | int | None) -> Request:
        own: dict[str, Any] = {}
        if self.prompt is None:  # with a template the columns are its values, not parameters
            own = {name: given for name, given in value.items() if name in _PARAMETERS and given is not None}
        listed = self.prompt is None and isinstance(value.get("messages"), list)
        if self.frame is not None and not own and not listed:
            system = None if self.system is None else self.system.fill(value)
            return self.frame.request(record.index, id, self._text(value, record), system)
        body: dict[str, Any] = {"model": self.model} if self.model is not None else {}
        if self.endpoint == EMBEDDINGS:
            body["input"] = value["input"] if self.prompt is None and "input" in value else self._text(value, record)
        elif listed:
            body["messages"] = value["messages"]
        else:
            body["messages"] = [{"role": "user", "content": self._text(value, record)}]
        if self.system is not None and self.endpoint != EMBEDDINGS:
            body["messages"] = [{"role": "system", "content": self.system.fill(value)}, *body["messages"]]
        body |= own
        body |= self.parameters
        return Request(record.index, id, self.endpoint, self._whole(body))

    def _whole(self, body: dict[str, Any]) -> bytes:
        if "model" not in body:
            raise RowProblem("the row names no model, and none was given with --model")
        if body.get("stream"):
            raise RowProblem("'stream' cannot be asked for in bulk")
        return _encode({**body, **_format(self.schema)})

    def _text(self, value: Mapping[str, Any], record: Record) -> str:
        if self.prompt is not None:
            missing = sorted(self.prompt.fields - value.keys())
            if missing:
                names = ", ".join(f"'{name}'" for name in missing)
                raise RowProblem(
                    f"row {record.index} (line {record.line}) has no column {names}, which the prompt needs"
                )
            return self.prompt.fill(value)
        text = value.get("prompt", value.get("text"))
        if isinstance(text, str):
            return text
        if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
            return only
        raise RowProblem(
            f"row {record.index} (line {record.line}) has neither 'prompt' nor 'messages' nor 'body'; "
            "say with --prompt how its columns become one"
        )


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The member that asks for answers that follow it."""
    if schema is None:
        return {}
    named = {"name": "answer", "schema": schema, "strict": schemas.strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}
