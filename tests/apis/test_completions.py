"""A model's answer read back, however its bytes were cut."""

from collections.abc import Awaitable

import pytest

from kit.loops import in_a_loop
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
