"""Which web pages may call, whatever name they were made to have."""

import pytest

from tollkeeper.mcp.origins import is_loopback, may_call

ALLOWED = ["https://chat.example"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "gate.example"),
        ("", "evil.example:9180"),
        ("https://chat.example", "gate.example"),
        ("http://127.0.0.1:9080", "127.0.0.1:9080"),
        ("http://localhost:9080", "localhost:9080"),
        ("http://gate.localhost:9080", "gate.localhost:9080"),
        ("http://[::1]:9080", "[::1]:9080"),
        ("http://10.1.2.3:9080", "10.1.2.3:9080"),
    ],
)
def test_programs_named_pages_and_the_gates_own_may_call(origin: str, host: str) -> None:
    assert may_call(origin, host, ALLOWED)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example:9180", "evil.example:9180"),  # a name that was made to point here
        ("https://evil.example", "127.0.0.1:9180"),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ("http://127.0.0.1:3000", "127.0.0.1:9180"),
        ("http://localhost", "127.0.0.1"),
        ("https://chat.example.evil.example", "gate.example"),
        ("null", "null"),
        ("null", ""),
        ("://", ""),
        ("http://[", "["),
        ("file://", ""),
    ],
)
def test_other_pages_may_not(origin: str, host: str) -> None:
    assert not may_call(origin, host, ALLOWED)


def test_a_loopback_address_is_known() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9:80", "localhost", "::1", "[::1]:9180"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "gate.example", "[::]", ""))
