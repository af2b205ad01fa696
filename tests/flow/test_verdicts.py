"""What a bad end means, and how long a provider may make us wait, whatever its headers say."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.core.account import Beyond
from tollkeeper.core.call import Reply
from tollkeeper.core.errors import CallerError, ClientLeft, GateError, UpstreamError
from tollkeeper.flow.verdicts import Verdict, judged, rest_asked

NOW = 1_800_000_000.0


def refused(
    status: int, error: Any = None, *headers: tuple[bytes, bytes], beyond: frozenset[Beyond] = frozenset()
) -> Verdict:
    body = json.dumps({"error": error}).encode() if error is not None else b""
    return judged(Reply(status, [], body), status, list(headers), None, NOW, beyond)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "answer"),
        (401, "answer"),
        (402, "elsewhere"),
        (403, "elsewhere"),
        (404, "answer"),
        (405, "answer"),
        (408, "anywhere"),
        (409, "anywhere"),
        (413, "answer"),
        (422, "answer"),
        (425, "anywhere"),
        (429, "anywhere"),
        (451, "answer"),
        (500, "anywhere"),
        (501, "elsewhere"),
        (503, "anywhere"),
        (529, "anywhere"),
        (599, "anywhere"),
    ],
)
def test_a_status_says_where_to_go_on(status: int, expected: str) -> None:
    assert refused(status).next == expected


def test_a_provider_may_forbid_that_it_is_asked_again() -> None:
    assert refused(503, None, (b"x-should-retry", b"false")).next == "elsewhere"
    assert refused(503, None, (b"x-should-retry", b"true")).next == "anywhere"


def test_no_credit_is_told_from_too_many_requests_by_its_code() -> None:
    quota = refused(429, {"code": "insufficient_quota", "type": "insufficient_quota", "message": "no"})
    # https://console.groq.com/docs/errors: a mere rate limit, though billing is spoken of.
    limit = refused(429, {"code": "rate_limit_exceeded", "type": "tokens", "message": "… see /settings/billing"})

    assert (quota.key_refused, quota.rate, quota.next) == (True, False, "elsewhere")
    assert (limit.key_refused, limit.rate, limit.next) == (False, True, "anywhere")
    assert refused(400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}).key_refused


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "context_length_exceeded", "message": "x"}, "context_length"),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8"}, "context_length"),
        ({"code": "content_filter", "message": "x"}, "content_filter"),
        ({"code": "model_not_found", "message": "x"}, "model_not_found"),
        ({"code": 404, "message": "The model `x` does not exist"}, "model_not_found"),
    ],
)
def test_what_another_target_may_not_mind_is_known_by_its_code_or_words(error: Any, kind: Beyond) -> None:
    status = 404 if kind == "model_not_found" else 400

    assert refused(status, error).next == "answer"
    assert refused(status, error, beyond=frozenset((kind,))).next == "elsewhere"


@given(body=st.binary(max_size=200), status=st.integers(400, 599))
def test_no_body_makes_it_fall(body: bytes, status: int) -> None:
    verdict = judged(Reply(status, [], body), status, [], None, NOW, frozenset(("context_length", "content_filter")))

    assert verdict.next in ("answer", "elsewhere", "anywhere")


@pytest.mark.parametrize(
    ("code", "expected", "rate", "ill"),
    [
        ("server_error", "anywhere", False, True),
        ("overloaded_error", "anywhere", False, True),
        ("error", "anywhere", False, True),
        ("503", "anywhere", False, True),
        ("429", "anywhere", True, False),
        ("rate_limit_exceeded", "anywhere", True, False),
        ("400", "answer", False, False),
        ("invalid_request_error", "answer", False, False),
        ("content_filter", "answer", False, False),
        ("insufficient_quota", "elsewhere", False, False),
    ],
)
def test_an_error_that_begins_a_stream_is_judged_by_its_code(code: str, expected: str, rate: bool, ill: bool) -> None:
    verdict = judged(Reply(200, []), 200, [], code, NOW)

    assert (verdict.next, verdict.rate, verdict.ill) == (expected, rate, ill)


def test_our_own_refusals_are_the_callers_answer_and_failures_are_not() -> None:
    for error in (CallerError("x"), GateError("x"), ClientLeft("x")):
        assert judged(error, 0, [], None, NOW).next == "answer"
    assert judged(UpstreamError("x", code="upstream_refused"), 0, [], None, NOW).next == "anywhere"
    assert judged(UpstreamError("x", code="upstream_timeout"), 0, [], None, NOW).next == "elsewhere"
    assert judged(UpstreamError("x", code="upstream_auth_failed"), 401, [], None, NOW).key_refused


# --- how long -------------------------------------------------------------------------------------------------------


def _date(year: int) -> bytes:
    return format_datetime(datetime(year, 1, 1, tzinfo=UTC), usegmt=True).encode()


@pytest.mark.row(30)
@pytest.mark.row(40)
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": b"7"}, 7.0),
        ({"retry-after": b"0"}, 0.0),
        ({"retry-after-ms": b"1500", "retry-after": b"9"}, 1.5),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True).encode()}, 30.0),
        ({"retry-after": _date(9999)}, 300.0),
        ({"retry-after": b"1e9"}, 300.0),
        ({"retry-after": b"99999999999999999999"}, 300.0),
        ({"retry-after": b"-1"}, None),
        ({"retry-after": _date(1999)}, None),
        ({"retry-after": b"nan"}, None),
        ({"retry-after": b"inf"}, None),
        ({"retry-after": b"soon"}, None),
        ({"retry-after": b""}, None),
        ({"retry-after": b"\xff\x00"}, None),
        ({"x-ratelimit-reset-requests": b"1m30s", "x-ratelimit-remaining-requests": b"0"}, 90.0),
        (
            {
                "x-ratelimit-reset-requests": b"2s",
                "x-ratelimit-remaining-requests": b"5",
                "x-ratelimit-reset-tokens": b"6m0s",
                "x-ratelimit-remaining-tokens": b"0",
            },
            300.0,
        ),
        ({"x-ratelimit-reset-requests": b"20ms", "x-ratelimit-reset-tokens": b"3s"}, 0.02),
        ({"x-ratelimit-reset-tokens": b"-5"}, 0.0),
        ({"anthropic-ratelimit-requests-reset": b"9999-12-31T23:59:59Z"}, 300.0),
        ({"anthropic-ratelimit-requests-reset": b"1970-01-01T00:00:00Z"}, 0.0),
        (
            {
                "anthropic-ratelimit-tokens-reset": datetime.fromtimestamp(NOW + 12, UTC).isoformat().encode(),
                "anthropic-ratelimit-tokens-remaining": b"0",
            },
            12.0,
        ),
        ({"content-type": b"text/plain"}, None),
    ],
)
def test_what_is_asked_is_understood_and_never_believed_beyond_five_minutes(
    headers: dict[str, bytes], expected: float | None
) -> None:
    found = rest_asked([(name.encode(), value) for name, value in headers.items()], NOW)

    assert found == (expected if expected is None else pytest.approx(expected, abs=0.01))


@pytest.mark.row(30)
@given(
    name=st.sampled_from(
        [b"retry-after", b"retry-after-ms", b"x-ratelimit-reset-tokens", b"anthropic-ratelimit-tokens-reset"]
    ),
    value=st.binary(max_size=40) | st.integers().map(lambda number: str(number).encode()),
)
def test_whatever_a_header_holds_nobody_waits_longer_or_falls(name: bytes, value: bytes) -> None:
    found = rest_asked([(name, value)], NOW)

    assert found is None or 0 <= found <= 300
