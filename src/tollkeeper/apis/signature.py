"""What a published function takes and gives, read from its type hints."""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from msgspec import Raw

from tollkeeper.apis import mistakes, typed
from tollkeeper.apis.model import Model
from tollkeeper.apis.outside import Outside
from tollkeeper.apis.schemas import Schema
from tollkeeper.apis.typed import BadType
from tollkeeper.core.errors import CallerError

GIVEN = (Model, Outside)
"""Types of parameters that the gate fills in."""
_STREAMS = (AsyncGenerator, AsyncIterator, AsyncIterable, Generator, Iterator, Iterable)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """Raises BadType with what cannot be published."""

    def __init__(self, function: Callable[..., Any], api: str) -> None:
        self.streams = inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)
        """Whether it yields pieces."""
        self.is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        try:
            hints = get_type_hints(function, include_extras=True)
        except (NameError, TypeError, SyntaxError) as error:
            raise BadType(f"its type hints cannot be read: {error}") from None
        returned = hints.pop("return", Any)
        if get_origin(returned) in _STREAMS and self.streams:
            returned = (get_args(returned) or (Any,))[0]
        self.answer: Any = type(None) if returned is None else returned
        """The type of the answer, or of a piece."""
        self.given: dict[str, type] = {}
        """Parameters that the gate fills in, and their types."""
        fields = self._fields(function, hints)
        self._only = self._whole_of(fields)
        self._body: Any
        if self._only is not None:
            self._body = fields[0][1]
        else:
            self._body = msgspec.defstruct(f"{api}_request", fields, kw_only=True, forbid_unknown_fields=True)
        prefix = f"{api}."
        (self.request, self.answered), self.definitions = typed.described([self._body, self.answer], prefix)
        if self._only is None:  # a body that is made of parameters has no name that anybody knows
            self.request = self.definitions.pop(self.request["$ref"].rpartition("/")[2])
            self.request.pop("title", None)
        self._known, self._open = _fields_of(self.request, self.definitions)
        self._takes_stream = "stream" in self._known

    def _fields(self, function: Callable[..., Any], hints: Mapping[str, Any]) -> list[Any]:
        fields: list[Any] = []
        for name, parameter in inspect.signature(function).parameters.items():
            hint = hints.get(name, Any)
            if parameter.kind not in _NAMED:
                raise BadType(f"its parameter '{name}' has no name that a request could use")
            if hint in GIVEN:
                if not self.is_async:
                    raise BadType(f"its parameter '{name}' is awaited, so the function must be `async def`")
                self.given[name] = hint
            elif parameter.default is inspect.Parameter.empty:
                fields.append((name, hint))
            else:
                fields.append((name, hint, msgspec.field(default_factory=_always(parameter.default))))
        return fields

    @staticmethod
    def _whole_of(fields: list[Any]) -> str | None:
        """The parameter that is the whole body: the only one, where its type is one of objects."""
        if len(fields) != 1 or len(fields[0]) != 2:
            return None
        name, kind = fields[0]
        of_objects = (
            is_typeddict(kind)
            or typed.is_pydantic(kind)
            or is_dataclass(kind)
            or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
        )
        return name if of_objects else None

    def arguments(self, body: bytes, members: Mapping[str, Raw]) -> dict[str, Any]:
        """The function's arguments from a request's body. Raises CallerError."""
        if "stream" in members and not self._takes_stream:
            members = {name: value for name, value in members.items() if name != "stream"}
            body = msgspec.json.encode(members)
        if not self._open:
            for name in members:
                if name not in self._known:
                    raise mistakes.unknown_field(name)
        try:
            read = typed.decode(body, self._body)
        except msgspec.ValidationError as error:
            raise mistakes.by_type(error) from None
        except (msgspec.DecodeError, RecursionError):
            raise CallerError("The body of the request cannot be read.", code="invalid_json") from None
        if self._only is not None:
            return {self._only: read}
        return {name: getattr(read, name) for name in read.__struct_fields__}

    def written(self, value: Any) -> bytes:
        """An answer or a piece as JSON. Raises TypeError and the like where it is not of the type that was promised."""
        encoded = typed.encode(value)
        if self.answer is not Any:
            typed.decode(encoded, self.answer)
        return encoded


def _always(default: Any) -> Callable[[], Any]:
    return lambda: default


def _fields_of(schema: Schema, definitions: Mapping[str, Schema]) -> tuple[frozenset[str], bool]:
    """The names of an object's fields, and whether it takes others."""
    refers = schema.get("$ref")
    if refers is not None:
        schema = definitions.get(refers.rpartition("/")[2], {})
    properties = schema.get("properties")
    return frozenset(properties or ()), properties is None or bool(schema.get("additionalProperties"))
