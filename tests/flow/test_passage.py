"""A whole answer told in events: the same answer, in each dialect that has streams of events."""

import json
from typing import Any

import pytest

from kit.calls import call, key
from kit.scripted import chat_answer
from kit.translations import decoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.translation import Sitting
from tollkeeper.dialects.paths import RELAYED
from tollkeeper.dialects.translators import TRANSLATORS
from tollkeeper.flow.passage import as_stream

ASK: dict[str, Any] = {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "text", "text": "Hello!"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 2},
}
SAID = {"type": "output_text", "text": "Hello!", "annotations": []}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt",
    "output": [{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [SAID]}],
    "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
}


@pytest.mark.parametrize(
    ("dialect", "path", "asked", "answer"),
    [
        (
            "openai_chat",
            "chat/completions",
            ASK | {"stream_options": {"include_usage": True}},
            chat_answer("Hello!", 9, 2),
        ),
        ("anthropic_messages", "messages", ASK, CLAUDE),
        ("openai_responses", "responses", {"model": "m", "stream": True, "input": "hi"}, RESPONSE),
    ],
)
def test_a_whole_answer_is_told_in_events_that_make_it_up_again(
    dialect: str, path: str, asked: dict[str, Any], answer: dict[str, Any]
) -> None:
    translator, sitting = TRANSLATORS[dialect], Sitting(origin=dialect, id="x")
    body = json.dumps(answer).encode()

    events = as_stream(call(key(), asked, dialect=RELAYED[dialect], path=path, streamed=True), body, 1.0)

    assert events is not None
    told = gathered(decoded(translator, events, sitting=sitting))
    whole = gathered(translator.read_answer(body, sitting))
    assert told.choices == whole.choices
    assert told.model == whole.model
    assert told.reported is not None
    assert whole.reported is not None
    assert told.reported.usage == whole.reported.usage


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", b'{"error": {"message": "no", "code": "odd"}}'),
        ("chat/completions", b'{"object": "odd"}'),
        ("chat/completions", b"nonsense"),
        ("completions", b'{"choices": [{"text": "Hello!"}]}'),
    ],
)
def test_what_is_no_answer_of_a_conversation_is_told_in_no_events(path: str, body: bytes) -> None:
    assert as_stream(call(key(), ASK, path=path, streamed=True), body, 1.0) is None
