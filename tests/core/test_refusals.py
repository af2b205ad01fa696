"""A refusal keeps why, and nothing of what was asked but the model's name, cut short."""

import msgspec

from kit.calls import call, key
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.refusals import refusal


def test_it_has_the_error_that_the_caller_got_and_what_the_rules_found() -> None:
    asked = call(key("key_7"), {"model": "m", "messages": [{"role": "user", "content": "a secret word"}]})
    asked.notes.append(("limit", "key:key_7:requests:60", 60, 0, 0))

    kept = refusal(asked, CallerError("Too many.", status=429, code="rate_limit_exceeded"), 5)

    assert (kept.request_id, kept.at, kept.key_id, kept.operation) == (asked.request_id, 5, "key_7", "chat")
    assert (kept.status, kept.code, kept.message) == (429, "rate_limit_exceeded", "Too many.")
    assert kept.notes == '[["limit","key:key_7:requests:60",60,0,0]]'
    assert b"secret" not in msgspec.json.encode(kept)


def test_nothing_in_it_is_longer_than_it_may_be() -> None:
    asked = call(key(), {"model": "x" * 10_000, "messages": []})
    asked.notes += [("limit", "y" * 100, 1, 1, 1)] * 1000

    kept = refusal(asked, GateError("z" * 10_000), 5)

    assert kept.model_asked == "x" * 500
    assert kept.message == "z" * 500
    assert kept.notes == "[]"


def test_a_call_without_a_model_has_none() -> None:
    assert refusal(call(key(), {}), GateError("no"), 5).model_asked is None
