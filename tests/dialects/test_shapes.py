"""Whole answers in Ollama's two shapes."""

import json

from kit.translations import IDENTITY, OLLAMA, OLLAMA_GENERATE
from tollkeeper.core.answers import Answer, Choice
from tollkeeper.core.conversation import Reasoning, Text, TokenLogprob, ToolUse

ANSWER = Answer(
    model="m",
    created=1_700_000_000,
    choices=(
        Choice(
            (Reasoning("hm"), Text("Hi", (), (TokenLogprob("Hi", -0.5, (72, 105)),)), ToolUse("c", "f", "")), "tool"
        ),
    ),
)
CALLS = [{"id": "c", "function": {"name": "f", "arguments": {}}}]
LIKELY = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
AROUND = {"model": "m", "created_at": "2023-11-14T22:13:20Z", "logprobs": LIKELY, "done": True, "done_reason": "stop"}


def test_a_chat_s_answer() -> None:
    message = {"role": "assistant", "content": "Hi", "thinking": "hm", "tool_calls": CALLS}

    assert json.loads(OLLAMA.render_answer(ANSWER, IDENTITY)) == {**AROUND, "message": message}


def test_generate_s_answer() -> None:
    words = {"response": "Hi", "thinking": "hm", "tool_calls": CALLS}

    assert json.loads(OLLAMA_GENERATE.render_answer(ANSWER, IDENTITY)) == {**AROUND, **words}


def test_an_answer_without_anything_is_an_answer() -> None:
    assert json.loads(OLLAMA.render_answer(Answer(), IDENTITY))["message"] == {"role": "assistant", "content": ""}
