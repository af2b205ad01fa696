"""Recorded streams through the real door: the client's bytes equal the recording's, and the ledger has its tokens."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess
from kit.recordings import recorded
from kit.scripted import ScriptedUpstream, event_stream

CUTS = (1, 7, 4096, None)


def _last_usage(recording: bytes) -> dict[str, Any] | None:
    """The usage that a recording reports, read the plainest way there is."""
    found = None
    for line in re.split(rb"\r\n|\n|\r", recording):
        if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
            data = json.loads(line[5:])
            nested = data.get("response") or data.get("x_groq") or {}
            usage = data.get("usage") or nested.get("usage")
            found = usage or found
    return found


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", recorded("openai/chat", "groq/chat", "openrouter/chat", "deepseek/chat"))
def test_a_chat_stream_arrives_byte_for_byte_and_is_charged_as_reported(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: Path, cut: int | None
) -> None:
    recording = path.read_bytes()
    upstream.script = event_stream(recording, cut)
    body = {"model": "gpt-4o-mini", "stream": True, "stream_options": {"include_usage": True}, "messages": []}

    status, headers, received = gate.call("POST", "/v1/chat/completions", key, body)

    assert status == 200
    assert received == recording
    event = gate.event(headers["x-request-id"])
    usage = _last_usage(recording)
    if usage is None:
        assert event["quality"] == "counted"
    else:
        assert event["quality"] == "reported"
        assert (event["input_tokens"], event["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        assert (event["cached_input_tokens"], event["reasoning_tokens"]) == (cached, reasoning)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", recorded("openai/responses"))
def test_a_responses_stream_arrives_byte_for_byte_and_is_charged_as_reported(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: Path, cut: int | None
) -> None:
    recording = path.read_bytes()
    upstream.script = event_stream(recording, cut)

    status, headers, received = gate.call(
        "POST", "/v1/responses", key, {"model": "gpt-4o-mini", "stream": True, "input": "hello"}
    )

    assert status == 200
    assert received == recording
    event = gate.event(headers["x-request-id"])
    usage = _last_usage(recording)
    assert usage is not None
    assert (event["input_tokens"], event["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    assert event["cached_input_tokens"] == usage["input_tokens_details"]["cached_tokens"]
    assert event["reasoning_tokens"] == usage["output_tokens_details"]["reasoning_tokens"]
