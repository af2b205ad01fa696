"""One member of a JSON object changes; no byte of the others does."""

import json
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.json_objects import NAMES, OBJECTS, VALUES, compact, spellings
from kit.properties import examples
from tollkeeper.wire import json_text

SEPARATORS = st.sampled_from([(",", ":"), (", ", ": ")])


def values_of(found: json_text.Members) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in found.items()}


@given(spellings(), NAMES, VALUES)
@examples(120)
def test_a_changed_member_leaves_the_others_as_they_were(
    spelling: tuple[dict[str, Any], bytes], name: str, new: Any
) -> None:
    value, text = spelling
    found = json_text.members(text)

    changed = json_text.replaced(text, found, {name: compact(new)})

    left = json_text.members(changed)
    assert values_of(left) == {**value, name: new}
    others = {other: bytes(raw) for other, raw in found.items() if other != name}
    assert others == {other: bytes(raw) for other, raw in left.items() if other != name}


@given(OBJECTS, NAMES, VALUES, SEPARATORS)
@examples(120)
def test_a_change_rewrites_no_byte_elsewhere(
    value: dict[str, Any], name: str, new: Any, separators: tuple[str, str]
) -> None:
    style: dict[str, Any] = {"separators": separators, "ensure_ascii": False}
    assume(name in value)
    text = json.dumps(value, **style).encode()

    changed = json_text.replaced(text, json_text.members(text), {name: json.dumps(new, **style).encode()})

    assert changed == json.dumps({**value, name: new}, **style).encode()


def test_several_changes_are_made_and_what_is_missing_is_added() -> None:
    text = b'{ "model" : "a", "stream":true }'

    changed = json_text.replaced(text, json_text.members(text), {"model": b'"b"', "n": b"1", "stream": b"false"})

    assert changed == b'{ "model" : "b", "stream":false ,"n":1}'
    assert json_text.replaced(b" {} ", json_text.members(b" {} "), {"a": b"1"}) == b' {"a":1} '


@pytest.mark.parametrize(
    "text",
    [
        b'{"\\u006dodel":"cheap","x":{"model":"cheap"}}',
        b'{"x":{"model":"cheap"},"model":"cheap"}',
        b'{"x":"\\"model\\":\\"cheap\\"","model":"cheap"}',
        b'{"x":[{"model" : "cheap"}], "model" : "cheap"}',
    ],
)
def test_only_the_top_level_member_is_changed_wherever_else_it_seems_to_stand(text: bytes) -> None:
    found = json_text.members(text)

    changed = json_text.replaced(text, found, {"model": b'"dear"'})

    assert json.loads(changed) == {**json.loads(text), "model": "dear"}


@given(OBJECTS, NAMES, SEPARATORS, st.booleans())
@examples(120)
def test_a_member_taken_out_leaves_what_was_never_put_in(
    value: dict[str, Any], name: str, separators: tuple[str, str], ascii_only: bool
) -> None:
    style: dict[str, Any] = {"separators": separators, "ensure_ascii": ascii_only}
    assume(ascii_only is False or name.isascii())
    rest = {other: inner for other, inner in value.items() if other != name}

    taken = json_text.without(json.dumps(value, **style).encode(), name)

    assert taken == json.dumps(rest, **style).encode()


@pytest.mark.parametrize("spelled", [b'"usage"', b'"us\\u0061ge"'])
def test_names_repeated_by_the_hundred_thousand_cost_no_more_than_a_few_readings(spelled: bytes) -> None:
    text = b'{"deep":[' + b",".join([b'{"usage":null}'] * 100_000) + b"]," + spelled + b":null}"
    began = time.perf_counter()

    shorter = json_text.without(text, "usage")
    longer = json_text.replaced(text, json_text.members(text), {"usage": b"1"})

    assert time.perf_counter() - began < 30  # each found anew among the others they would take minutes
    assert list(json_text.members(shorter)) == ["deep"]
    assert bytes(json_text.members(longer)["usage"]) == b"1"


@given(
    members=st.dictionaries(
        st.text(max_size=6), st.integers() | st.text(max_size=6) | st.lists(st.integers(), max_size=3)
    ),
    spacing=st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
    ascii_only=st.booleans(),
    data=st.data(),
)
def test_however_it_is_written_only_the_wanted_value_changes(
    members: dict[str, object], spacing: tuple[str, str], ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(members, separators=spacing, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    names = [*sorted(members), "new"]
    changes = data.draw(
        st.dictionaries(st.sampled_from(names), st.sampled_from([b"1", b'"two"', b"[3,4]"]), max_size=3)
    )
    changed = json_text.replaced(text, json_text.members(text), changes)
    assert json.loads(changed) == {**members, **{name: json.loads(value) for name, value in changes.items()}}
