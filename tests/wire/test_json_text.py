"""JSON objects are read as every other parser reads them, or refused in words for the caller."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.json_objects import NAMES, OBJECTS, VALUES, compact, spellings
from kit.properties import examples
from tollkeeper.wire import json_text


@given(spellings())
@examples(120)
def test_members_are_what_json_says_they_are(spelling: tuple[dict[str, Any], bytes]) -> None:
    value, text = spelling

    assert value == {name: json.loads(bytes(raw)) for name, raw in json_text.members(text).items()}


@given(
    spellings(), st.integers(0, 400), st.sampled_from([b"", b'"', b"{", b"}", b",", b":", b"\\", b"0", b"\xff", b"e"])
)
@examples(150)
def test_what_json_refuses_is_refused(spelling: tuple[dict[str, Any], bytes], at: int, put: bytes) -> None:
    text = spelling[1]
    broken = text[: at % (len(text) + 1)] + put + text[at % (len(text) + 1) + 1 :]
    try:
        expected = json.loads(broken.decode(), object_pairs_hook=list, parse_constant=lambda word: 1 / 0)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(json_text.BadJson):
            json_text.members(broken)
        return
    assume(broken.lstrip().startswith(b"{"))
    names = [name for name, _ in expected]
    lone = any("\ud800" <= letter <= "\udfff" for letter in json.dumps(expected, ensure_ascii=False))
    if lone or len(set(names)) < len(names):
        with pytest.raises(json_text.BadJson):
            json_text.members(broken)
    else:
        assert list(json_text.members(broken)) == names


@given(OBJECTS, NAMES, VALUES, st.sampled_from([",", ", ", " ,\n"]), st.booleans())
@examples(100)
def test_a_name_that_occurs_twice_is_refused_however_it_is_spelled(
    value: dict[str, Any], name: str, other: Any, comma: str, escaped: bool
) -> None:
    quoted = '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"' if escaped and name.isascii() else json.dumps(name)
    text = compact({**value, name: 1})[:-1] + f"{comma}{quoted}:{json.dumps(other)}}}".encode()

    with pytest.raises(json_text.BadJson, match="twice"):
        json_text.members(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"[]",
        b"null",
        b'"{}"',
        b"{} {}",
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":[-Infinity]}',
        b'{"a":01}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":"\n"}',
        b'{"a":"\\x41"}',
        b'{"a":"\\ud800"}',
        b'{"a":["\\udc00\\ud800"]}',
        b'{"\\ud800":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1}/**/',
    ],
)
def test_what_parsers_disagree_about_is_refused_with_words_for_the_caller(text: bytes) -> None:
    with pytest.raises(json_text.BadJson) as refused:
        json_text.members(text)

    assert str(refused.value)
    assert "0x" not in str(refused.value)


@pytest.mark.parametrize("nest", [b"[", b'{"a":'])
def test_ten_thousand_levels_are_refused_not_crashed_on(nest: bytes) -> None:
    closing = b"]" if nest == b"[" else b"}"
    for spacing in (b"", b" "):
        text = b'{"a":' + spacing + nest * 10_000 + b"1" + closing * 10_000 + b"}"
        with pytest.raises(json_text.BadJson, match="deeply"):
            json_text.members(text)


@pytest.mark.parametrize("text", [b"", b"{", b'"\xff"', b"[" * 100_000, b"nul"])
def test_what_is_no_json_at_all_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(json_text.BadJson):
        json_text.value(text)
    assert json_text.value(b'[1, {"a": null}]') == [1, {"a": None}]
