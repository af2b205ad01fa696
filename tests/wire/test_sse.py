"""Streams cut anywhere give the same events, and nothing is lost, added or held that need not be."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from kit.recordings import recorded
from tollkeeper.wire import sse

TOKENS = [b"\r", b"\n", b"\r\n", b"data: x", b"data:", b":", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff", b" ", b"event: e"]
STREAMS = st.lists(st.sampled_from(TOKENS), max_size=24).map(b"".join)


def events_of(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    """The events of a stream cut at these offsets, and what is left at its end."""
    scanner = sse.EventScanner()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found = []
    for start, end in pairwise(places):
        found += scanner.feed(stream[start:end])
    return found, scanner.take()


def by_the_letter(stream: bytes) -> tuple[list[bytes], bytes]:
    """The same read byte by byte: an event ends where a line ends that is empty."""
    events, event, line, at = [], b"", b"", 0
    while at < len(stream):
        size = 2 if stream[at : at + 2] == b"\r\n" else 1
        piece = stream[at : at + size]
        at += size
        event += piece
        if piece not in (b"\r", b"\n", b"\r\n"):
            line += piece
        elif line or event == piece:
            line = b""
        elif piece == b"\r" and at == len(stream):
            break  # the first half of a CR LF, perhaps
        else:
            events.append(event)
            event = b""
    return events, event


@given(STREAMS, st.lists(st.integers(min_value=0), max_size=6))
@examples(600)
def test_how_a_stream_is_cut_does_not_show(stream: bytes, cuts: list[int]) -> None:
    events, rest = events_of(stream, cuts)

    assert (events, rest) == events_of(stream, [])
    assert b"".join(events) + rest == stream


@given(STREAMS)
@examples(400)
def test_byte_by_byte_gives_what_the_whole_gives(stream: bytes) -> None:
    assert events_of(stream, list(range(len(stream)))) == by_the_letter(stream) == events_of(stream, [])


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=6))
@examples(200)
def test_any_bytes_come_out_as_they_went_in(stream: bytes, cuts: list[int]) -> None:
    events, rest = events_of(stream, cuts)

    assert b"".join(events) + rest == stream


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_is_handed_over_with_its_last_byte(end: bytes) -> None:
    scanner = sse.EventScanner()
    event = b"data: {}" + end + end

    assert scanner.feed(event[:-1]) == []
    assert scanner.feed(event[-1:]) == [event]
    assert scanner.pending == 0


def test_a_stream_of_bare_carriage_returns_is_read_to_its_end() -> None:
    assert events_of(b"data: 1\r\rdata: 2\r\rdata: [DONE]\r\r", []) == (
        [b"data: 1\r\r", b"data: 2\r\r"],
        b"data: [DONE]\r\r",
    )


def test_what_is_pending_can_be_seen_and_taken() -> None:
    scanner = sse.EventScanner()
    scanner.feed(b"data: whole\n\ndata: begun")

    assert scanner.pending == 11
    assert scanner.unfinished(6) == b"begun"
    assert scanner.take() == b"data: begun"
    assert (scanner.pending, scanner.take()) == (0, b"")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data: {}\r\n\r\n", b"{}"),
        (b"data: {}\r\r", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  two\n\n", b" two"),
        (b"data\n\n", b""),
        (b"data:\n\n", b""),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\r\ndata:b\r\n\r\n", b"a\nb"),
        (b"event: error\ndata: {}\nid: 7\n\n", b"{}"),
        (b"event: error\ndata: {}\n\n", b"{}"),
        (b"event: error\ndata: a\ndata: b\n\n", b"a\nb"),
        (b"event: error\ndata: {}\n", b"{}"),
        (b"event: error\nid: 7\ndata: {}\n\n", b"{}"),
        (b"event: error\ndata: \n\n", b""),
        (b": comment\ndata: {}\n\n", b"{}"),
        (b"data: {}", b"{}"),
        (b"data: {}\n", b"{}"),
        ("data: a\u2028b\u0085c\n\n".encode(), "a\u2028b\u0085c".encode()),
        (b"data: a\x0bb\x0cc\x1cd\n\n", b"a\x0bb\x0cc\x1cd"),
        (b": comment\n\n", None),
        (b"event: ping\n\n", None),
        (b"retry: 10\n\n", None),
        (b"database: no\n\n", None),
        (b" data: indented\n\n", None),
        (b"\n\n", None),
    ],
)
def test_data_is_what_the_standard_says_it_is(event: bytes, expected: bytes | None) -> None:
    assert expected == sse.data_of(event)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b": ping\n\n", True),
        (b":\r\n:b\r\n\r\n", True),
        (b"\n\n", True),
        (b": a\ndata: b\n\n", False),
        (b"id: 1\n\n", False),
    ],
)
def test_a_comment_is_known_by_having_nothing_else(event: bytes, expected: bool) -> None:
    assert expected == sse.is_comment(event)


@pytest.mark.parametrize("path", recorded("openai/chat", "openai/responses", "openrouter/chat", "gemini/generate"))
def test_recorded_streams_hold_together_whatever_the_cut(path: Path) -> None:
    stream = path.read_bytes()
    whole = events_of(stream, [])

    assert whole[0]
    for size in (1, 7, 4096):
        assert events_of(stream, list(range(0, len(stream), size))) == whole
