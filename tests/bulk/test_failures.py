"""What each failed answer means, and what its error says."""

import pytest

from tollkeeper.bulk.failures import LONGEST_MESSAGE, Verdict, failure, verdict


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [
        (200, None, Verdict.WELL),
        (0, "timeout", Verdict.AGAIN),
        (408, None, Verdict.AGAIN),
        (500, None, Verdict.AGAIN),
        (524, None, Verdict.AGAIN),
        (599, None, Verdict.AGAIN),
        (429, "rate_limit_exceeded", Verdict.RATE),
        (529, "overloaded", Verdict.RATE),
        (429, "insufficient_quota", Verdict.JOB),
        (429, "budget_exceeded", Verdict.JOB),
        (429, "budget_held", Verdict.RATE),
        (401, "invalid_api_key", Verdict.JOB),
        (402, None, Verdict.JOB),
        (403, None, Verdict.JOB),
        (404, "model_not_found", Verdict.JOB),
        (404, None, Verdict.JOB),
        (400, "context_length_exceeded", Verdict.ROW),
        (413, None, Verdict.ROW),
        (422, None, Verdict.ROW),
    ],
)
def test_an_answer_means(status: int, code: str | None, means: Verdict) -> None:
    kind = "insufficient_quota" if code is not None and code.startswith("budget") else None
    assert verdict(status, code, kind) is means


def test_an_error_says_what_its_body_says() -> None:
    found = failure(
        400, b'{"error":{"message":"Too\\n long","type":"invalid_request_error","code":"context"}}', "req_1"
    )
    assert (found.type, found.http_status, found.code, found.message, found.request_id) == (
        "invalid_request_error",
        400,
        "context",
        "Too long",
        "req_1",
    )


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"<html>down</html>", b"\xff\xfe", b'{"error":"text"}', b"{" * 9999]
)
def test_whatever_the_body_is_there_is_a_message_of_bounded_length(body: bytes) -> None:
    assert 0 < len(failure(500, body * 50).message) <= LONGEST_MESSAGE
