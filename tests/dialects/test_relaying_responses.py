"""Responses streams as they pass: bytes untouched, usage, model, end and errors heard, whatever the provider's oddities."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.recordings import recorded
from tollkeeper.dialects.openai_responses import DIALECT, ResponsesReader
from tollkeeper.wire.sse import EventScanner

USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}


def event(name: str, **members: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, 'sequence_number': 1, **members})}\n\n".encode()


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete", "response.failed"])
def test_a_terminal_event_ends_the_stream_and_brings_usage(end: str) -> None:
    reader = ResponsesReader()
    begun = event("response.created", response={"model": "gpt-5-2025-08-07", "service_tier": "auto", "usage": None})
    ended = event(end, response={"model": "gpt-5-2025-08-07", "service_tier": "default", "usage": USAGE})

    assert reader.read(begun) == begun
    assert (reader.finished, reader.done, reader.reported) == (False, False, None)
    assert reader.read(ended) == ended
    assert (reader.finished, reader.done) == (True, True)
    assert (reader.model, reader.tier) == ("gpt-5-2025-08-07", "default")
    assert reader.reported is not None
    usage = reader.reported.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (36, 8, 2)
    assert (usage.output_tokens, usage.reasoning_tokens) == (87, 64)
    assert reader.error_code == ("response.failed" if end == "response.failed" else None)
    reader.read(begun)
    assert reader.reported.usage is usage


@pytest.mark.parametrize(
    ("members", "code"),
    [({"code": "server_error", "message": "m"}, "server_error"), ({"message": "m"}, "error"), ({"code": 429}, "429")],
)
def test_an_error_event_ends_the_stream_with_its_code(members: dict[str, Any], code: str) -> None:
    reader = ResponsesReader()
    raw = event("error", **members)

    assert reader.read(raw) == raw
    assert (reader.finished, reader.error_code) == (True, code)


def test_every_delta_counts_as_delivered() -> None:
    reader = ResponsesReader()
    for name in ("output_text", "reasoning_summary_text", "function_call_arguments", "refusal"):
        reader.read(event(f"response.{name}.delta", delta="ab\u00e9"))
    reader.read(event("response.audio.delta", delta={"not": "text"}))
    reader.read(event("response.output_text.done", text="no", delta="no"))
    for _ in range(600):
        reader.read(event("response.output_text.delta", delta="."))

    assert reader.delivered() == "ab\u00e9" * 4 + "." * 600


@pytest.mark.parametrize(
    "raw",
    [
        b": ping\n\n",
        b"event: keepalive\n\n",
        b"data: [DONE]\n\n",
        b'data: {"type":null,"delta":null,"response":null,"code":null}\n\n',
        b'data: {"type":"response.x","response":"text"}\n\n',
        b'data: {"type":"response.x","response":[1]}\n\n',
        b'data: {"type":7}\n\n',
        b"data: {}\n\n",
    ],
)
def test_events_unlike_openai_s_pass_and_end_nothing(raw: bytes) -> None:
    reader = ResponsesReader()

    assert reader.read(raw) == raw
    assert (reader.finished, reader.reported, reader.error_code) == (False, None, None)


def test_usage_is_heard_in_an_event_that_is_odd_elsewhere() -> None:
    reader = ResponsesReader()
    reader.read(event("response.completed", response={"model": None, "service_tier": 1, "usage": USAGE}))

    assert reader.reported is not None
    assert (reader.reported.usage.output_tokens, reader.tier, reader.finished) == (87, None, True)


@pytest.mark.parametrize(
    "data", [b"", b"words", b"[]", b"{", b'{"response":' * 20_000, b'{"type":1,"delta":' + b"[" * 20_000]
)
def test_what_is_no_json_object_is_not_of_this_dialect(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ResponsesReader().read(b"data: " + data + b"\n\n")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"id": "resp_1", "background": True}, "resp_1"),
        ({"id": "resp_1", "background": True, "model": 7}, "resp_1"),
        ({"id": "resp_1", "background": False}, None),
        ({"id": "resp_1"}, None),
        ({"background": True}, None),
    ],
)
def test_a_background_response_is_charged_under_its_own_id(response: dict[str, Any], expected: str | None) -> None:
    reader = ResponsesReader()
    reader.read(event("response.completed", response={**response, "usage": USAGE}))
    reader.read(b'data: {"type":null}\n\n')

    assert expected == reader.once
    if "model" not in response:
        assert expected == DIALECT.read_answer(json.dumps({**response, "usage": USAGE}).encode()).once


def test_a_whole_answer_tells_usage_model_and_text() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]
    body = json.dumps(
        {"id": "resp_1", "model": "gpt-5", "service_tier": "flex", "usage": USAGE, "output": output}
    ).encode()

    heard = DIALECT.read_answer(body)

    assert heard.reported is not None
    assert (heard.reported.usage.output_tokens, heard.model, heard.tier) == (87, "gpt-5", "flex")
    assert DIALECT.answer_text(body) == "hello"


@pytest.mark.parametrize("path", recorded("openai/responses"))
def test_recorded_streams_pass_untouched_and_end(path: Path) -> None:
    stream = path.read_bytes()
    scanner = EventScanner()
    events = scanner.feed(stream)
    reader = ResponsesReader()

    assert b"".join(reader.read(raw) for raw in events) + scanner.take() == stream
    assert (reader.finished, reader.reported is not None) == (True, True)
