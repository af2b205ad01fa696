"""The newest openai for Python: what was paid for once is not charged again when it is looked at."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from clients.caller import Caller, tokens
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 13,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 24,
}


@pytest.fixture
def client(scripted_caller: Caller) -> Iterator[OpenAI]:
    """As a user makes it, but that nothing is tried twice."""
    with OpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, max_retries=0) as made:
        yield made


def response(status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A Responses answer."""
    part = {"type": "output_text", "text": "Hello!", "annotations": []}
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    about = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-mini", "status": status}
    return {**about, "output": [message], **fields}


def charged(caller: Caller, count: int) -> tuple[int, int]:
    """All tokens that this caller is charged for after `count` calls."""
    each = [tokens(event) for event in caller.events(count)]
    return sum(one for one, _ in each), sum(other for _, other in each)


def test_a_stored_response_is_charged_when_it_is_made_and_not_when_it_is_retrieved(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, response(usage=USAGE))

    made = client.responses.create(model="gpt-4o-mini", input="say hello")
    again = [client.responses.retrieve(made.id) for _ in range(2)]

    assert [one.output_text for one in again] == ["Hello!"] * 2
    assert charged(scripted_caller, 3) == (11, 13)


def test_a_background_response_is_charged_once_however_often_it_is_asked_for(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, response("queued", id="resp_2", output=[], usage=None, background=True))
    made = client.responses.create(model="gpt-4o-mini", input="say hello", background=True)
    upstream.script = json_answer(200, response("completed", id="resp_2", usage=USAGE, background=True))

    for _ in range(3):
        client.responses.retrieve(made.id)

    assert charged(scripted_caller, 4) == (11, 13)


def test_a_stored_chat_completion_is_not_charged_when_it_is_retrieved(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!", 11, 13))

    made = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "say hello"}], store=True
    )
    client.chat.completions.retrieve(made.id)

    assert charged(scripted_caller, 2) == (11, 13)


def test_a_finished_batch_is_not_charged_each_time_it_is_asked_for(
    client: OpenAI, scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    batch = {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "created_at": 1,
        "input_file_id": "file-1",
        "output_file_id": "file-2",
        "status": "completed",
        "usage": USAGE,
    }
    upstream.script = json_answer(200, batch)

    for _ in range(3):
        assert client.batches.retrieve("batch_1").status == "completed"

    assert charged(scripted_caller, 3) in ((0, 0), (11, 13))
