"""Type hints to schemas and arguments, msgspec's types and pydantic's."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from tollkeeper.apis import Model, Outside
from tollkeeper.apis.signature import Signature
from tollkeeper.apis.typed import BadType
from tollkeeper.core.errors import CallerError
from tollkeeper.wire import json_text


class Inner(msgspec.Struct):
    n: int


class Whole(msgspec.Struct):
    inner: Inner
    tags: list[str] = []


@dataclass
class Point:
    x: int


class Keyed(TypedDict):
    k: str


async def of_struct(whole: Whole, model: Model, outside: Outside) -> list[Inner]:
    return []


async def of_parts(topic: str, inner: Inner, kind: Literal["a", "b"] = "a", *, tags: list[str] = ["x"]) -> str:  # noqa: B006
    return ""


def arguments(signature: Signature, body: bytes) -> dict[str, Any]:
    return signature.arguments(body, json_text.members(body))


def test_one_parameter_of_an_object_type_is_the_whole_request() -> None:
    signature = Signature(of_struct, "x")

    assert signature.given == {"model": Model, "outside": Outside}
    assert arguments(signature, b'{"inner":{"n":1},"stream":true}') == {"whole": Whole(Inner(1))}
    assert signature.request == {"$ref": "#/components/schemas/x.Whole"}
    assert set(signature.definitions) == {"x.Whole", "x.Inner"}
    assert signature.answered == {"type": "array", "items": {"$ref": "#/components/schemas/x.Inner"}}


def test_several_parameters_are_its_fields() -> None:
    signature = Signature(of_parts, "x")

    assert arguments(signature, b'{"topic":"t","inner":{"n":1}}') == {
        "topic": "t",
        "inner": Inner(1),
        "kind": "a",
        "tags": ["x"],
    }
    assert signature.request["required"] == ["topic", "inner"]
    assert signature.request["properties"]["kind"]["enum"] == ["a", "b"]
    assert signature.request["additionalProperties"] is False
    assert set(signature.definitions) == {"x.Inner"}


def one_point(point: Point) -> Point:
    return point


def one_keyed(keyed: Keyed) -> Keyed:
    return keyed


@pytest.mark.parametrize(
    ("function", "body", "expected"),
    [(one_point, b'{"x":1}', Point(1)), (one_keyed, b'{"k":"v"}', {"k": "v"})],
)
def test_dataclasses_and_typed_dicts_are_read(function: Callable[..., Any], body: bytes, expected: Any) -> None:
    signature = Signature(function, "x")

    [read] = arguments(signature, body).values()
    assert read == expected
    with pytest.raises(CallerError):
        arguments(signature, b'{"x":"no","k":1}')
    with pytest.raises(CallerError, match="Unknown field: 'more'"):
        arguments(signature, body[:-1] + b',"more":1}')


def test_pieces_are_of_the_type_that_is_yielded() -> None:
    async def several() -> AsyncIterator[Inner]:
        yield Inner(1)

    def plain() -> Iterator[int]:
        yield 1

    assert Signature(several, "x").answer is Inner
    assert Signature(plain, "x").answer is int
    assert Signature(plain, "x").streams


def starred(*args: int) -> None: ...
def keyed(**kwargs: int) -> None: ...
def positional(a: int, /) -> None: ...
def waits(model: Model) -> None: ...
def unsaid(a: object) -> None: ...
def unread(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (starred, "'args' has no name"),
        (keyed, "'kwargs' has no name"),
        (positional, "'a' has no name"),
        (waits, "must be `async def`"),
        (unsaid, "cannot be said in JSON"),
        (unread, "type hints cannot be read"),
    ],
)
def test_what_cannot_be_published_says_why(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(BadType, match=words):
        Signature(function, "x")


def test_pydantics_models_read_check_write_and_describe_themselves() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Part(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        n: int

    class Order(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        model_config = pydantic.ConfigDict(extra="forbid")
        parts: list[Part]
        note: str = "none"

    async def ordered(order: Order) -> Order:
        return order

    ordered.__annotations__.update({"order": Order, "return": Order})
    signature = Signature(ordered, "x")

    read = arguments(signature, b'{"parts":[{"n":1}]}')["order"]
    assert read == Order(parts=[Part(n=1)])
    assert msgspec.json.decode(signature.written(read)) == {"parts": [{"n": 1}], "note": "none"}
    assert "x.Part" in signature.definitions
    with pytest.raises(CallerError, match=r"parts\.0\.n"):
        arguments(signature, b'{"parts":[{"n":"x"}]}')
    with pytest.raises(CallerError, match="Unknown field: 'more'"):
        arguments(signature, b'{"parts":[],"more":1}')
