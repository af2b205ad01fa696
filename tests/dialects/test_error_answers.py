"""Errors that come under a success."""

import pytest

from tollkeeper.dialects import error_answers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"message": "no", "code": 502}, "user_id": "u"}', "502"),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "no"}}', "overloaded_error"),
        (b'{"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}', "503"),
        (b'{"error": {"message": "no"}}', "error"),
        (b'{"error": {"code": {"odd": 1}}}', "error"),
        (b'{"error": "no"}', "error"),
        (b'{"error": null, "choices": []}', None),
        (b'{"error": {}, "choices": []}', None),
        (b'{"error": ""}', None),
        (b'{"error": false}', None),
        (b'{"choices": []}', None),
        (b'{"id": "resp_1", "status": "failed", "error": {"code": "server_error"}}', None),
        (b'["error"]', None),
        (b"{", None),
    ],
)
def test_what_says_nothing_but_an_error_is_told_from_other_answers(body: bytes, code: str | None) -> None:
    assert error_answers.code_of(body) == code


@pytest.mark.parametrize(
    ("code", "status"),
    [("429", 429), ("503", 503), ("401", 502), ("409", 502), ("200", 502), ("5000", 502), ("x", 502)],
)
def test_its_status_is_the_one_that_its_code_names(code: str, status: int) -> None:
    assert error_answers.status_of(code) == status
