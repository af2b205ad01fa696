"""Values that a browser keeps sealed: there and back, and nothing else."""

from typing import Any

import pytest

from tollkeeper.routes import sealed_cookies
from tollkeeper.routes.sealed_cookies import Cookies

SECRET = "a secret of many letters"


def sealed(value: dict[str, Any], name: str = "session", secret: str = SECRET, purpose: str = "app") -> dict[str, str]:
    """What the browser sends back."""
    set_cookies = Cookies(secret, purpose).sealed(name, value, 60, 1000.0, secure=True)
    assert all(b"; HttpOnly; SameSite=Lax; Secure" in each for each in set_cookies)
    return sealed_cookies.read(b"; ".join(each.partition(b";")[0] for each in set_cookies))


def opened(given: dict[str, str], name: str = "session", now: float = 1059.0) -> dict[str, Any] | None:
    return Cookies(SECRET, "app").opened(name, given, now)


def test_a_value_comes_back_however_many_cookies_it_needs() -> None:
    long = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(4000))
    for value in ({"a": 1}, {"token": long}):
        given = sealed(value)
        assert opened(given) == value
    assert len(given) > 1


def test_nothing_opens_that_was_sealed_for_another_end_or_is_over() -> None:
    given = sealed({"a": 1})
    assert opened(given, now=1060.0) is None
    assert opened({"other": given["session"]}, "other") is None
    assert opened(sealed({"a": 1}, purpose="another app")) is None
    assert opened(sealed({"a": 1}, secret="another secret of many")) is None
    for broken in ("", "AAAA", given["session"][:-1], given["session"] + "A", "é"):
        assert opened({"session": broken}) is None


def test_what_no_browser_would_keep_is_not_sealed() -> None:
    noise = "".join(chr(0x4E00 + (number * number * 7919) % 20011) for number in range(40000))
    with pytest.raises(ValueError, match="too much"):
        sealed({"token": noise})


def test_cookies_are_taken_out_of_a_header() -> None:
    assert sealed_cookies.without(b"a=1; session=x; session_2=y; b=2", "session") == b"a=1; b=2"
    cleared = sealed_cookies.cleared("session", {"session": "x", "session_2": "y", "b": "2"}, secure=False)
    assert [each.partition(b";")[0] for each in cleared] == [b"session=", b"session_2="]
