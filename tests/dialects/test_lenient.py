"""Decoding is strict and fast first, and otherwise leaves out what does not fit, whatever it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw, Struct, UnsetType

from kit.properties import examples
from tollkeeper.dialects import lenient


class Inner(Struct):
    name: str
    size: int = 0


class Outer(Struct):
    words: str | None = None
    number: int | None = None
    ratio: float | None = None
    inner: Inner | None = None
    several: list[Inner] | None = None
    either: str | list[Any] | None = None
    raw: Raw | UnsetType = UNSET
    small: tuple[int, ...] | None = None


decode = lenient.decoder(Outer)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"words":7,"number":3}', Outer(number=3)),
        (b'{"words":"a","number":"3"}', Outer(words="a")),
        (b'{"number":3.0,"words":1}', Outer(number=3)),
        (b'{"inner":{"size":1},"number":1}', Outer(number=1)),
        (b'{"inner":{"name":"x","size":"big"}}', Outer(inner=Inner("x"))),
        (b'{"several":[{"name":"a"},7,{"name":"b","size":2}]}', Outer(several=[Inner("a"), Inner("b", 2)])),
        (b'{"either":[1],"words":1}', Outer(either=[1])),
        (b'{"ratio":1,"words":[]}', Outer(ratio=1.0)),
        (b'{"small":[1,2],"words":[]}', Outer(small=(1, 2))),
    ],
)
def test_what_fits_is_kept(data: bytes, expected: Outer) -> None:
    assert decode(data) == expected


def test_raw_members_keep_their_meaning() -> None:
    assert bytes(decode(b'{"raw":{"a": 1},"words":7}').raw) == b'{"a":1}'  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'{"inner":' * 20_000, b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(Outer.__struct_fields__), inner, max_size=4)
    ),
    max_leaves=12,
)


@examples(120)
@given(st.dictionaries(st.sampled_from(Outer.__struct_fields__ + Inner.__struct_fields__), _JSON))
def test_no_object_is_refused(found: dict[str, Any]) -> None:
    import msgspec

    assert isinstance(decode(msgspec.json.encode(found)), Outer)
