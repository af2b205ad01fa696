"""Every form of `retry-after` and `ratelimit` headers, and what nobody should believe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.wire.rate_headers import LONGEST_WAIT, NOTHING, read

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "7", "retry-after-ms": "soon"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:10 GMT"}, 10.0),
        ({"retry-after": "2026-01-01T00:00:20Z"}, 20.0),
        ({"retry-after": "1000000000"}, LONGEST_WAIT),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST_WAIT),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 01 Jan 2025 00:00:00 GMT"}, None),
        ({"retry-after": "after lunch"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "-5"}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    found = read([(name.encode(), value.encode()) for name, value in headers.items()], NOW)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3s", 3600.0),
        ("59m3.5s", 3543.5),
        ("12", 12.0),
        ("0.5s", 0.5),
        ("1767225630", 30.0),
        ("1767225630000", 30.0),
        ("2026-01-01T00:01:00Z", 60.0),
        ("9999-12-31T23:59:59Z", 3600.0),
        ("2020-01-01T00:00:00Z", 0.0),
        ("-3", 0.0),
        ("garbage", None),
        ("nan", None),
    ],
)
def test_resets_in_every_form(reset: str, seconds: float | None) -> None:
    found = read([(b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-reset-requests", reset.encode())], NOW)
    assert found.requests is not None
    assert found.requests.reset == (None if seconds is None else pytest.approx(seconds))


def test_openai_and_anthropic_name_them_differently() -> None:
    openai = read([(b"x-ratelimit-limit-tokens", b"150000"), (b"x-ratelimit-remaining-tokens", b"149984")], NOW)
    anthropic = read(
        [
            (b"anthropic-ratelimit-requests-limit", b"50"),
            (b"anthropic-ratelimit-requests-remaining", b"49"),
            (b"anthropic-ratelimit-input-tokens-reset", b"2026-01-01T00:00:06Z"),
        ],
        NOW,
    )
    assert openai.tokens is not None
    assert (openai.tokens.limit, openai.tokens.remaining) == (150000, 149984)
    assert anthropic.requests is not None
    assert (anthropic.requests.limit, anthropic.requests.remaining) == (50, 49)
    assert anthropic.input_tokens is not None
    assert anthropic.input_tokens.reset == 6.0


def test_an_answer_without_such_headers_says_nothing() -> None:
    assert read([(b"content-type", b"application/json"), (b"date", b"Thu, 01 Jan 2026 00:00:10 GMT")], NOW) is NOTHING


@given(st.binary(max_size=40), st.sampled_from([b"retry-after", b"retry-after-ms", b"x-ratelimit-reset-requests"]))
def test_whatever_comes_nobody_falls_and_no_wait_is_too_long(value: bytes, name: bytes) -> None:
    found = read([(name, value), (b"x-ratelimit-remaining-requests", value)], NOW)
    assert found.retry_after is None or 0 <= found.retry_after <= LONGEST_WAIT
    if found.requests is not None and found.requests.reset is not None:
        assert 0 <= found.requests.reset <= 3600
