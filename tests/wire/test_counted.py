"""Values are counted before they are read."""

import pytest

from tollkeeper.wire.counted import TooMany, check_elements, form_fields, json_value


def test_what_is_within_the_bound_is_read() -> None:
    assert json_value(b'[[1,2],{"a":3}]', 6) == [[1, 2], {"a": 3}]
    assert json_value(b'"' + b"x" * 100 + b'"', 1) == "x" * 100
    assert form_fields("a=1&b&a=2", 3) == [("a", "1"), ("b", ""), ("a", "2")]
    check_elements('<a b="c"><d/></a>', 4)


def test_what_is_beyond_it_is_not() -> None:
    for text in (b"[" + b"[]," * 10 + b"1]", b"[" + b"1," * 10 + b"1]", b'{"a":' * 11 + b"1" + b"}" * 11):
        with pytest.raises(TooMany, match="more than 10 values"):
            json_value(text, 10)
    with pytest.raises(TooMany, match="more than 10 fields"):
        form_fields("&" * 10, 10)
    for text in ("<a>" + "<b/>" * 10 + "</a>", "<a " + " ".join(f'b{n}=""' for n in range(10)) + "/>"):
        with pytest.raises(TooMany, match="more than 10 elements"):
            check_elements(text, 10)
