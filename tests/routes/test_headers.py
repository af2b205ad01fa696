"""Headers that are read and changed."""

import pytest

from tollkeeper.routes.headers import Headers


def test_several_values_keep_their_order_until_one_takes_their_place() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])

    assert (headers.get(b"a"), headers.all(b"a")) == (b"1", [b"1", b"3"])
    headers.set(b"A", b"4")
    assert headers.items == [(b"b", b"2"), (b"a", b"4")]


@pytest.mark.parametrize(("name", "value"), [(b"x", b"1\r\nset-cookie: a"), (b"x\ny", b"1"), (b"x:y", b"1")])
def test_nothing_breaks_out_of_a_header(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        Headers().add(name, value)
