"""What a caller may say about the cache, and which whole answers may be given again. Through the door: test_cache."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.policies.cache.cacheable import Wish, sound, wish


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"ttl=600", Wish(600.0)),
        (b" TTL=1 ", Wish(1.0)),
        (b"refresh", Wish(None, look=False)),
        (b"ttl=5,refresh", Wish(5.0, look=False)),
        (b"refresh, ttl=5", Wish(5.0, look=False)),
        (b"no-store", Wish(keep=False)),
        (b"ttl=5, no-store", Wish(5.0, keep=False)),
    ],
)
def test_a_wish_is_read(value: bytes, wanted: Wish) -> None:
    assert wish(value) == wanted


@pytest.mark.parametrize(
    "value",
    [b"", b"ttl", b"ttl=", b"ttl=0", b"ttl=-1", b"ttl=1e3", b"ttl=\xb2", b"ttl=1234567890", b"no store", b"hit"],
)
def test_what_is_no_wish_is_refused(value: bytes) -> None:
    with pytest.raises(CallerError) as refused:
        wish(value)

    assert (refused.value.status, refused.value.code, refused.value.param) == (
        400,
        "invalid_value",
        "x-tollkeeper-cache",
    )


@pytest.mark.parametrize(
    ("body", "fit"),
    [
        (b'{"choices":[{"finish_reason":"stop"}]}', True),
        (b'{"choices":[{"finish_reason":"length"}]}', True),
        (b'{"choices":[{"finish_reason":"stop"},{"finish_reason":"error"}]}', False),
        (b'{"choices":null,"data":[]}', True),
        (b'{"error":null,"status":"completed"}', True),
        (b'{"status":"incomplete"}', True),
        (b'{"status":"failed","error":null}', False),
        (b'{"status":"in_progress"}', False),
        (b'{"error":{"message":"no"}}', False),
        (b'{"error":"no"}', False),
        (b"[1]", False),
        (b'"text"', False),
        (b"not json", False),
        (b"", False),
    ],
)
def test_which_answers_are_sound(body: bytes, fit: bool) -> None:
    assert sound(body) == fit
