"""Streams that pass as they are, and what is heard of them: the same as of those that are translated."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.recordings import recorded
from tollkeeper.core.errors import UpstreamError
from tollkeeper.dialects.anthropic_messages import DIALECT
from tollkeeper.wire.sse import EventScanner

USAGE = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1, "service_tier": "standard"}


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


@pytest.mark.parametrize("path", recorded("anthropic/messages"))
def test_a_recording_passes_byte_for_byte_and_its_usage_is_heard(path: Path) -> None:
    raw = path.read_bytes()
    reader, scanner = DIALECT.reader(False), EventScanner()
    passed = b"".join(reader.read(one) for one in scanner.feed(raw))

    assert passed == raw
    assert (reader.finished, reader.done, reader.error_code) == (True, True, None)
    assert reader.reported is not None
    assert reader.model is not None


def test_input_is_known_from_the_first_event_on_and_words_as_they_come() -> None:
    reader = DIALECT.reader(False)
    reader.read(event("message_start", message={"id": "m", "model": "claude", "content": [], "usage": USAGE}))
    reader.read(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    for _ in range(600):
        reader.read(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "é"}))
    reader.read(
        event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}})
    )
    reader.read(event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "{}"}))

    assert reader.reported is not None
    assert (reader.reported.usage.input_tokens, reader.model, reader.finished) == (8, "claude", False)
    assert reader.delivered() == "é" * 600 + "f{}"


def test_an_error_ends_it_and_garbage_is_not_of_the_dialect() -> None:
    reader = DIALECT.reader(False)
    reader.read(event("error", error={"type": "overloaded_error", "message": "m"}))

    assert (reader.error_code, reader.done) == ("overloaded_error", True)
    with pytest.raises(ValueError, match=r"."):
        DIALECT.reader(False).read(b"data: words\n\n")
    assert DIALECT.render_error_event(UpstreamError("m")).startswith(b"event: error\n")
