"""The newest openai for Python when it tries again by itself: with an Idempotency-Key its retries are one request."""

import threading
import time
from collections.abc import Iterator

import pytest
from openai import OpenAI

from clients.caller import Caller
from kit.scripted import (
    Connection,
    Request,
    Script,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)

ASK = [{"role": "user", "content": "say hello"}]
NAMED = {"Idempotency-Key": "0b5c7a52-one-request"}


@pytest.fixture
def client(scripted_caller: Caller) -> Iterator[OpenAI]:
    with OpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, timeout=1.5, max_retries=6) as made:
        yield made


class Slow:
    """Answers when its client has long given up waiting."""

    def __init__(self, answer: Script) -> None:
        self.count = 0
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        with self._lock:
            self.count += 1
        time.sleep(2)
        return self._answer(request, connection)


def test_its_own_timeout_and_retries_end_in_the_answer_of_the_first_attempt(
    client: OpenAI, upstream: ScriptedUpstream, scripted_caller: Caller
) -> None:
    upstream.script = slow = Slow(json_answer(200, chat_answer("Hello!")))

    answer = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASK, extra_headers=NAMED)

    assert answer.parse().choices[0].message.content == "Hello!"
    assert answer.headers["idempotent-replayed"] == "true"
    replay = answer.headers["x-request-id"]
    assert scripted_caller.gate.event(replay)["cost_usd"] == "0"
    assert slow.count == 1
    attempts = scripted_caller.gate.events(key=scripted_caller.id)
    assert attempts[0]["outcome"] == "cached"
    assert {event["outcome"] for event in attempts[1:]} == {"client_left"}
    assert sorted({event["cost_usd"] for event in attempts}) == ["0", "0.00000315"]
    assert [event["cost_usd"] for event in attempts].count("0.00000315") == 1


def test_a_stream_too(client: OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script = slow = Slow(event_stream(b"".join(chat_events(["Hel", "lo!"], usage_of(9, 2)))))

    chunks = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True, extra_headers=NAMED)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert said == "Hello!"
    assert slow.count == 1
