"""Headers that are read and changed."""

import pytest

from tollkeeper.routes.headers import Headers, as_name, grouped, spelt_otherwise, text, written


def test_several_values_keep_their_order_until_one_takes_their_place() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])

    assert (headers.get(b"a"), headers.all(b"a")) == (b"1", [b"1", b"3"])
    headers.set(b"A", b"4")
    assert headers.items == [(b"b", b"2"), (b"a", b"4")]


def test_a_value_counts_as_the_only_one_where_no_other_has_its_name() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2")])

    assert (headers.only(b"a"), headers.only(b"c")) == (b"1", None)
    headers.add(b"b", b"3")
    assert (headers.only(b"a"), headers.only(b"b")) == (b"1", None)


def test_several_are_put_in_place_of_all_that_have_their_names() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])

    headers.put([(b"a", b"4"), (b"c", b"5"), (b"c", b"6")])

    assert headers.items == [(b"b", b"2"), (b"a", b"4"), (b"c", b"5"), (b"c", b"6")]
    assert (headers.get(b"a"), headers.get(b"b"), headers.get(b"c")) == (b"4", b"2", b"5")


def test_what_somebody_else_has_looked_up_is_not_changed() -> None:
    found = {b"a": b"1"}
    headers = Headers([(b"a", b"1")], found)

    headers.add(b"b", b"2")
    headers.add(b"c", b"3")

    assert (headers.get(b"b"), headers.get(b"c"), found) == (b"2", b"3", {b"a": b"1"})


@pytest.mark.parametrize(("name", "value"), [(b"x", b"1\r\nset-cookie: a"), (b"x\ny", b"1"), (b"x:y", b"1")])
def test_nothing_breaks_out_of_a_header(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        Headers().add(name, value)


def test_names_are_spelt_in_every_way_a_server_may_take_for_the_same() -> None:
    assert sorted(spelt_otherwise(b"x-a-b", b"host")) == [b"x-a_b", b"x_a-b", b"x_a_b"]


def test_what_others_say_is_made_fit_for_a_header() -> None:
    assert written("a\r\n\0b: é☃") == "ab: é☃".encode()
    assert as_name("X-a b\n:é") == b"x-a-b---"


@pytest.mark.parametrize("value", ["é☃".encode(), b"\xe9 \xff", b"plain"])
def test_what_is_read_of_a_header_is_written_as_it_came(value: bytes) -> None:
    assert written(text(value)) == value


def test_names_alone_are_to_be_set() -> None:
    assert grouped({"set": {"a": "b"}, "remove": ["c"]}) == {"set": {"a": "b"}, "remove": ["c"]}
    assert grouped({"set": "b"}) == {"set": {"set": "b"}}
