"""What answers say was made: only what has an id and a kind, whatever else an answer is."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.flow import made_ids
from tollkeeper.flow.made_ids import NOTHING, Made


@given(
    body=st.binary(max_size=80)
    | st.recursive(st.none() | st.text(max_size=4), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_no_answer_makes_it_fall(body: bytes) -> None:
    assert made_ids.of_answer(body) == NOTHING
    assert made_ids.of_events(body) == NOTHING
    assert made_ids.of_beginning(body) == NOTHING


def test_only_what_has_a_kind_was_made() -> None:
    assert not made_ids.of_answer(b'{"id":"x"}')
    assert not made_ids.of_answer(b'{"id":"x","object":"list"}')
    assert not made_ids.of_answer(b'{"id":7,"object":"file"}')
    assert not made_ids.of_answer(b'{"id":"%s","object":"file"}' % (b"x" * 300))
    assert made_ids.of_answer(b'{"id":"x","type":"message_batch"}') == Made("x")
    assert not made_ids.of_answer(b'{"id":"x","type":"message"}')


def test_what_belongs_to_a_thing_is_told_with_it() -> None:
    assert made_ids.of_answer(b'{"id":"x","object":"batch","error_file_id":"y"}') == Made("x", ("y",))
    upload = b'{"id":"upload_1","object":"upload","status":"completed","file":{"id":"file-1","object":"file"}}'
    assert made_ids.of_answer(upload) == Made("upload_1", ("file-1",))
    response = b'{"id":"resp_1","object":"response","conversation":{"id":"conv_1"}}'
    assert made_ids.of_answer(response) == Made("resp_1", ("conv_1",))


def test_of_a_stream_the_first_event_that_says_it_tells() -> None:
    created = (
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","object":"response"}}\n\n'
    )
    assert made_ids.of_events(b": hello\n\n" + created) == Made("r")
    assert made_ids.of_events(created[:-3]) == NOTHING
    assert made_ids.of_events(b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk"}\n\n') == Made("chatcmpl-1")
    assert made_ids.of_events(b"data: [DONE]\n\n") == NOTHING


def test_the_beginning_of_a_long_answer_is_enough() -> None:
    assert made_ids.of_beginning(b'{"id": "resp_1", "object": "response", "output": ["AAAA') == Made("resp_1")
    assert made_ids.of_beginning(b'{"id": "x", "object": "list", "data": [') == NOTHING
