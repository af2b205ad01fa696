"""Requests are read member by member: wrong types are refused with their place, what nobody took is remembered."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.dialects.fields import Fields


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 20_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError) as refused:
        Fields.of_body(body)

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_what_nobody_took_is_remembered_by_path_without_positions() -> None:
    fields = Fields.of_body(b'{"a":[{"b":1,"odd":2},{"b":3,"odd":4,"null":null}],"c":{"deep":{"odd":1}}}')
    for item in fields.objects("a"):
        item.integer("b")
        item.close()
    inner = fields.object("c")
    assert inner is not None
    deep = inner.object("deep")
    assert deep is not None
    deep.close()
    inner.close()

    assert fields.unread == ("a.odd", "c.deep.odd")
    assert fields.rest() == {}


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("string", "1"),
        ("flag", '"yes"'),
        ("integer", "1.5"),
        ("integer", "true"),
        ("number", "true"),
        ("number", '"1"'),
        ("mapping", "[]"),
        ("object", "[]"),
        ("objects", "{}"),
        ("objects", "[1]"),
        ("list_of_strings", "[1]"),
        ("text_or_objects", "1"),
        ("text_or_objects", "[1]"),
        ("needed", "null"),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(method: str, value: str) -> None:
    item = Fields.of_body(b'{"list":[{},{"x":%b}]}' % value.encode()).objects("list")[1]

    with pytest.raises(CallerError) as refused:
        getattr(item, method)("x")
    assert str(refused.value.param).startswith("list[1].x")


def test_null_counts_as_absent_and_whole_floats_as_integers() -> None:
    fields = Fields.of_body(b'{"a":null,"b":2.0,"c":3,"d":"one","e":null,"f":"words","g":[{}]}')

    assert (fields.string("a"), "a" in fields) == (None, False)
    assert (fields.integer("b"), fields.number("c"), fields.list_of_strings("d")) == (2, 3.0, ["one"])
    assert (fields.text_or_objects("e"), fields.text_or_objects("f")) == (("", []), ("words", []))
    assert fields.text_or_objects("g")[1][0].where == "g[0]"
