"""Errors keep their status, their words and their code on the way from one dialect to another."""

import json
from typing import Any

import pytest

from kit.translations import ALL, ANTHROPIC, CHAT
from tollkeeper.core.deltas import Failure, failure_of
from tollkeeper.core.errors import model_not_found
from tollkeeper.dialects import anthropic_messages, openai_chat


@pytest.mark.parametrize(
    ("translator", "status", "body", "expected"),
    [
        (
            CHAT,
            429,
            {"error": {"message": "slow", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
            Failure("slow", 429, "requests", "rate_limit_exceeded"),
        ),
        (CHAT, 422, {"detail": [{"loc": ["body"]}]}, Failure('[{"loc":["body"]}]', 422)),
        (CHAT, 500, {"error": "broken"}, Failure("broken", 500)),
        (CHAT, 400, {"message": "bad"}, Failure("bad", 400)),
        (
            ANTHROPIC,
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            Failure("busy", 529, "overloaded_error"),
        ),
        (
            ANTHROPIC,
            400,
            {"type": "error", "error": {"type": "x", "message": "m", "details": {"error_code": "c"}}},
            Failure("m", 400, "x", "c"),
        ),
    ],
)
def test_a_provider_s_complaint_is_read(translator: Any, status: int, body: Any, expected: Failure) -> None:
    assert translator.read_error(status, json.dumps(body).encode()) == expected


@pytest.mark.parametrize("translator", ALL, ids=lambda translator: translator.name)
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b"[" * 20_000, b"\xff\xfe", b"null", b"7"])
def test_whatever_a_body_holds_there_is_a_message(translator: Any, body: bytes) -> None:
    found = translator.read_error(502, body)

    assert found.status == 502
    assert found.message


@pytest.mark.parametrize("translator", ALL, ids=lambda translator: translator.name)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529])
def test_a_failure_survives_there_and_back(translator: Any, status: int) -> None:
    found = translator.read_error(status, translator.render_failure(Failure("m", status, None, "c")))

    assert (found.message, found.status, found.code) == ("m", status, "c")


def test_our_own_errors_keep_their_words() -> None:
    body = json.loads(CHAT.render_failure(failure_of(model_not_found("x"))))
    claude = json.loads(ANTHROPIC.render_failure(failure_of(model_not_found("x"))))

    assert (body["error"]["code"], body["error"]["param"]) == ("model_not_found", "model")
    assert (claude["type"], claude["error"]["type"]) == ("error", "not_found_error")


def test_events_have_the_names_that_clients_need() -> None:
    assert openai_chat.errors.render_event(Failure("m")).startswith(b'data: {"error":')
    assert anthropic_messages.errors.render_event(Failure("m")).startswith(b'event: error\ndata: {"type":"error"')
