"""Pages of lists: what is taken out leaves the rest byte for byte, the cursors and the way to the next page right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.flow.listed import Listed

PAGE = b"""{"object":"list","data":[{"id":"a","x":1.50},{"id":"b"},{"id":"c","purpose":"batch_output"}],
"first_id":"a","last_id":"c","has_more":false,"total":1e2}"""
OPENAI, ANTHROPIC = ("after", "before"), ("after_id", "before_id")


def test_what_is_taken_out_is_gone_and_the_rest_as_it_was() -> None:
    left = Listed(PAGE).without({"b", "c"})
    assert left == (
        b'{"object":"list","data":[{"id":"a","x":1.50}],"first_id":"a","last_id":"a","has_more":false,"total":1e2}'
    )
    assert b'"data":[],"first_id":null,"last_id":null' in Listed(PAGE).without({"a", "b", "c"})
    assert b'"last_id":"b","has_more":true' in Listed(PAGE).without((), limit=2)
    assert Listed(b'[{"id":"a"},{"id":"b"},3]').without({"a"}) == b'[{"id":"b"},3]'
    assert Listed(b'{"files":[{"id":"a"},{"id":7},"a"]}').without({"a"}) == b'{"files":[{"id":7},"a"]}'


def test_what_a_provider_made_itself_is_known_by_its_purpose() -> None:
    items = Listed(PAGE).items
    assert {name: item.nobodys for name, (item, _) in items.items()} == {"a": False, "b": False, "c": True}
    assert bytes(items["a"][1]) == b'{"id":"a","x":1.50}'


def test_a_page_is_all_others_only_if_there_is_something_on_it() -> None:
    assert Listed(PAGE).all_among({"a", "b", "c"})
    assert not Listed(PAGE).all_among({"a", "b"})
    assert not Listed(b'{"data":[],"has_more":true}').all_among({"a"})
    assert not Listed(b'{"data":[{}],"has_more":true}').all_among({"a"})
    assert (Listed(b'{"data":[],"has_more":true}').more, Listed(PAGE).more) == (True, False)


@pytest.mark.parametrize(
    ("query", "cursors", "expected"),
    [
        (b"", OPENAI, b"after=c"),
        (b"limit=3&purpose=batch&after=z", OPENAI, b"purpose=batch&after=c&limit=100"),
        (b"limit=1000", OPENAI, b"after=c&limit=1000"),
        (b"before=z&limit=2", OPENAI, b"limit=2&before=a"),
        (b"limit=2", ANTHROPIC, b"after_id=c&limit=100"),
        (b"before_id=z", ANTHROPIC, b"before_id=a"),
    ],
)
def test_the_next_page_begins_where_this_one_ends(query: bytes, cursors: tuple[str, str], expected: bytes) -> None:
    assert Listed(PAGE).next_query(query, cursors) == expected


@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]":,ida1 ', max_size=40).map(str.encode))
def test_whatever_it_is_it_is_read_or_refused(body: bytes) -> None:
    try:
        listed = Listed(body)
    except ValueError:
        return
    assert listed.without({"a"}) is not None or not listed.items
