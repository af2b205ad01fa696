"""The newest openai for Python at its limits: it waits as it is told, and does not try again what can never pass."""

import re

import openai
import pytest
from openai import OpenAI

from kit.gate import GateProcess
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

ASK = [{"role": "user", "content": "say hello"}]


def client(gate: GateProcess, max_retries: int, *limits: str) -> OpenAI:
    key = gate.new_key(limits=list(limits))
    return OpenAI(base_url=f"{gate.url}/v1", api_key=key, max_retries=max_retries)


def refusals(gate: GateProcess) -> float:
    """How many calls this gate's limits have refused."""
    text = gate.operator("GET", "/metrics")[2].decode()
    return sum(float(number) for number in re.findall(r"^tollkeeper_limit_refusals_total\{.*\} (\S+)$", text, re.M))


def test_a_client_that_tries_once_more_has_waited_long_enough(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())
    with client(gate, 1, "4 requests/second burst 1") as openai_client:
        for _ in range(4):
            openai_client.chat.completions.create(model="gpt-4o-mini", messages=ASK)  # one retry is enough each time


def test_a_refusal_is_a_rate_limit_error_that_says_when_to_return(gate: GateProcess) -> None:
    with client(gate, 0, "1 requests/minute") as openai_client:
        raw = openai_client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASK)
        with pytest.raises(openai.RateLimitError) as caught:
            openai_client.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert 58 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_what_can_never_pass_is_tried_once(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    before = len(upstream.requests)
    with client(gate, 5, "100 tokens/minute") as openai_client:
        refused = refusals(gate)
        with pytest.raises(openai.RateLimitError) as caught:
            openai_client.chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=1000)

    assert caught.value.code == "rate_limit_too_small"
    assert refusals(gate) == refused + 1
    assert len(upstream.requests) == before
