"""A model's answer read back, however its bytes were cut."""

import json
from collections.abc import Awaitable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.loops import in_a_loop
from kit.properties import examples
from kit.scripted import chat_events, usage_of
from tollkeeper.apis import completions
from tollkeeper.apis.completions import Overheard
from tollkeeper.core.call import Reply, Sink
from tollkeeper.core.errors import UpstreamError


class Taken:
    """Implements `Pieces`."""

    blocked: Awaitable[None] | None = None

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def take(self, pieces: list[bytes]) -> None:
        self.pieces += pieces


STREAM = b": ping\n\n" + b"".join(chat_events(["Hel", "", 'l"o', "\u65e5"], usage_of(1, 3)))


@pytest.mark.parametrize("size", [1, 7, 64, len(STREAM)])
def test_the_texts_of_a_stream_pass_as_the_json_that_they_came_as(size: int) -> None:
    taken = Taken()
    overheard = Overheard(taken)
    for at in range(0, len(STREAM), size):
        overheard.write(STREAM[at : at + size])

    assert taken.pieces == [b'"Hel"', b'"l\\"o"', b'"\\u65e5"']
    assert (overheard.finish_reason, overheard.model, overheard.complaint) == ("stop", "gpt-4o-mini", None)


def test_other_choices_and_what_is_no_text_are_left_out() -> None:
    taken = Taken()
    for data in (
        b'{"choices":[{"index":1,"delta":{"content":"other"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":[1]}}]}',
        b'{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[]}}]}',
        b'{"choices":[{"index":0,"delta":{}}]}',
        b"not json",
    ):
        Overheard(taken).write(b"data: " + data + b"\n\n")

    assert taken.pieces == []


def test_an_error_event_is_kept() -> None:
    overheard = Overheard(Taken())

    overheard.write(b'data: {"error":{"message":"busy","code":529}}\n\n')

    assert overheard.complaint is not None
    assert (overheard.complaint.message, overheard.complaint.code) == ("busy", "529")


@in_a_loop
async def test_an_answer_in_pieces_is_gathered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pour(sink: Sink) -> None:
        for _ in range(5):
            sink.write(b"x" * 10)

    assert await completions.whole_body(Reply(200, [], pour=pour)) == b"x" * 50
    monkeypatch.setattr(completions, "LONGEST", 40)
    with pytest.raises(UpstreamError, match="more than 40"):
        await completions.whole_body(Reply(200, [], pour=pour))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b"[" * 100_000])
def test_what_is_no_chat_answer_is_the_upstreams_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        completions.completion(body)


def chunk_of(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **more}, separators=(",", ":")).encode() + b"\n\n"


ODD = (
    chunk_of(""),
    chunk_of("x", obfuscation='"content":"x"'),
    chunk_of("y", content="y"),
    b'data: {"choices":[{"index":1,"delta":{"content":"another choice"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content": "spaced"},"index":0}], "more":{"content":"spaced"}}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":null},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"last"},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":7},"logprobs":null,"finish_reason":null}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a","b":"c"},"logprobs":null,"finish_reason":null}]}\n\n',
    b": a comment\n\n",
    b"event: message\n" + chunk_of("named"),
    b"data: [DONE]\n\n",
)
TEXTS = st.text(st.sampled_from('ab"\\\n\u3042\x1f{}:,'), min_size=1, max_size=6)


@given(
    st.lists(st.one_of(TEXTS.map(chunk_of), st.sampled_from(ODD)), max_size=12),
    st.lists(st.integers(min_value=0), max_size=4),
)
@examples(300)
def test_what_looks_like_the_chunk_before_it_gives_what_reading_it_would(events: list[bytes], cuts: list[int]) -> None:
    found, expected = Taken(), []
    overheard = Overheard(found)
    stream = b"".join(events)
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(places):
        overheard.write(stream[start:end])
    for event in events:
        data = event.partition(b"data: ")[2]
        if data.startswith(b"{"):
            first = next((each for each in json.loads(data)["choices"] if each.get("index", 0) == 0), {"delta": {}})
            content = first["delta"].get("content")
            if isinstance(content, str) and content:
                expected.append(content)

    assert [json.loads(piece) for piece in found.pieces] == expected
