"""Usage is asked for behind a client's back, and the client gets the very stream it would have got without."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from kit.recordings import recorded
from tollkeeper.dialects.openai_chunks import ChunkReader
from tollkeeper.wire.sse import EventScanner

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}
USAGE = {
    "prompt_tokens": 13,
    "completion_tokens": 11,
    "total_tokens": 24,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
WORDS = st.text(max_size=8) | st.sampled_from(
    ['"usage":null', ',"usage":null,', '{"usage": null}', "data: [DONE]", "\n\n", "\u2028", '\\"usage\\":null']
)
OTHER = st.dictionaries(
    st.sampled_from(["logprobs", "obfuscation", "x", "usag", "Usage"]),
    WORDS
    | st.none()
    | st.fixed_dictionaries({"usage": st.none() | st.just({"a": 1})})
    | st.just([{"usage": None}])
    | st.just({"a": 0, "usage": None}),
    max_size=3,
)
STYLES = st.sampled_from([(",", ":"), (", ", ": ")])
ENDS = st.sampled_from(["\n\n", "\r\n\r\n"])


def event(
    chunk: dict[str, Any], style: tuple[str, str] = (",", ":"), end: str = "\n\n", prefix: str = "data: "
) -> bytes:
    return (prefix + json.dumps(chunk, separators=style, ensure_ascii=False) + end).encode()


def with_usage(chunk: dict[str, Any], usage: Any, at: int) -> dict[str, Any]:
    """The chunk with a usage member put in at one of its places."""
    members = list(chunk.items())
    members.insert(at % (len(members) + 1), ("usage", usage))
    return dict(members)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """A stream as the provider sends it when asked for usage, and as it would have sent it unasked."""
    style, end, place = draw(STYLES), draw(ENDS), draw(st.integers(0, 9))
    prefix = draw(st.sampled_from(["data: ", "data:", "event: message\ndata: "]))
    continuous = draw(st.booleans())

    def written(chunk: dict[str, Any]) -> bytes:
        return event(chunk, style, end, prefix)

    chunks: list[dict[str, Any]] = []
    if draw(st.booleans()):
        # Azure's first chunk.
        chunks.append({**HEAD, "id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    for word in draw(st.lists(WORDS, max_size=4)):
        delta = draw(st.sampled_from([{"content": word}, {"reasoning": word}, {"tool_calls": [{"index": 0}]}, {}]))
        choice = {"index": 0, "delta": delta, "finish_reason": None, **draw(OTHER)}
        chunks.append({**HEAD, **draw(OTHER), "choices": [choice]})
    chunks.append({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    extra = draw(st.sampled_from([{}, {"obfuscation": "x9"}, {"service_tier": "default"}, {"prompt_token_ids": None}]))
    usage_chunk = with_usage({**HEAD, **extra, "choices": []}, USAGE, place)
    moderation = [{**HEAD, "choices": [], "moderation": {"flagged": False}}] if draw(st.booleans()) else []

    asked = [written(with_usage(chunk, USAGE if continuous else None, place)) for chunk in chunks]
    asked += [written(usage_chunk), *(written(with_usage(chunk, None, place)) for chunk in moderation)]
    unasked = [written(chunk) for chunk in [*chunks, *moderation]]
    done = f"data: [DONE]{end}".encode()
    return [b": comment\n\n", *asked, done], [b": comment\n\n", *unasked, done]


@given(streams())
@examples(300)
def test_a_client_that_did_not_ask_gets_the_stream_it_would_have_got(stream: tuple[list[bytes], list[bytes]]) -> None:
    asked, unasked = stream
    reader = ChunkReader(hide_usage=True)

    received = b"".join(reader.read(raw) for raw in asked)

    assert received == b"".join(unasked)
    assert reader.reported is not None
    assert (reader.reported.usage.input_tokens, reader.reported.usage.output_tokens) == (13, 11)
    assert (reader.finished, reader.done, reader.error_code) == (True, True, None)


@given(streams())
@examples(100)
def test_a_client_that_asked_gets_every_byte(stream: tuple[list[bytes], list[bytes]]) -> None:
    asked, _ = stream
    reader = ChunkReader(hide_usage=False)

    assert [reader.read(raw) for raw in asked] == asked
    assert reader.reported is not None
    assert reader.reported.usage.cached_input_tokens == 4


@pytest.mark.parametrize(
    "kept",
    [
        {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "parts"}]}}]},
        {"choices": [{"index": 0, "delta": {"content": [{"type": "thinking", "thinking": ["hm"]}]}}]},
        {"choices": [{"index": 0, "delta": "odd"}]},
        {"choices": {"0": "odd"}},
        {"choices": [None]},
        {"choices": [], "moderation": {"flagged": True}},
        {"choices": [], "prompt_filter_results": []},
        {"choices": [], "usages": 1},
        {"choices": [{"index": 0, "text": 7}]},
    ],
)
def test_what_more_than_usage_a_chunk_holds_arrives_whatever_its_shape(kept: dict[str, Any]) -> None:
    reader = ChunkReader(hide_usage=True)

    received = reader.read(event({**HEAD, **kept, "usage": USAGE}))

    assert received == event({**HEAD, **kept})
    assert reader.reported is not None


@pytest.mark.parametrize(
    "alone",
    [
        {},
        {"choices": None},
        {"choices": [], "system_fingerprint": None, "obfuscation": "q"},
        {"choices": [], "timings": {}},
    ],
)
def test_a_chunk_that_only_carries_usage_does_not_arrive(alone: dict[str, Any]) -> None:
    assert ChunkReader(hide_usage=True).read(event({**HEAD, **alone, "usage": USAGE})) == b""


def test_a_duplicate_name_in_the_usage_chunk_does_not_break_the_stream() -> None:
    raw = b'data: {"id":"1","id":"1","choices":[],"usage":{"prompt_tokens":1}}\n\n'

    assert ChunkReader(hide_usage=True).read(raw) == b""


def test_usage_is_hidden_where_the_data_is_spread_over_lines_too() -> None:
    raw = b'data: {"choices":[{"text":"x"}],\ndata: "usage":null}\n\n'

    assert ChunkReader(hide_usage=True).read(raw) == b'data: {"choices":[{"text":"x"}]}\n\n'


@pytest.mark.parametrize("path", recorded("openai/chat", "groq/chat", "openrouter/chat"))
def test_recorded_streams_lose_usage_and_nothing_else(path: Path) -> None:
    events = EventScanner().feed(path.read_bytes())
    reader = ChunkReader(hide_usage=True)

    for raw in events:
        received = reader.read(raw)
        if not raw.startswith(b"data: {"):
            assert received == raw
            continue
        expected = json.loads(raw[6:])
        usage = expected.pop("usage", None)
        if received:
            assert json.loads(received[6:]) == expected
            assert len(raw) - len(received) <= len(json.dumps(usage)) + len(', "usage": ')
        else:
            assert (expected["choices"], usage is not None) == ([], True)
