"""Which revision of MCP a request speaks, and what is refused of those that say two things."""

from typing import Any

import pytest

from tollkeeper.mcp import revisions
from tollkeeper.mcp.errors import RpcError

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def _message(version: Any = "2026-07-28", method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"method": method, "params": {**params, "_meta": {VERSION: version, CAPABILITIES: {}}}}


def _headers(version: str = "2026-07-28", method: str = "tools/call", name: str = "") -> dict[bytes, bytes]:
    return {b"mcp-protocol-version": version.encode(), b"mcp-method": method.encode(), b"mcp-name": name.encode()}


@pytest.mark.parametrize(
    ("headers", "message", "modern"),
    [
        ({}, {"method": "initialize", "params": {}}, False),
        ({b"mcp-protocol-version": b"2025-06-18"}, {"method": "tools/list"}, False),
        ({b"mcp-protocol-version": b"2026-07-28"}, {"method": "tools/list"}, True),
        ({b"mcp-protocol-version": b"2031-01-01"}, {"method": "tools/list"}, True),
        ({}, _message(), True),
    ],
)
def test_a_request_says_of_which_era_it_is(headers: dict[bytes, bytes], message: dict[str, Any], modern: bool) -> None:
    assert revisions.is_modern(headers, message) is modern


def test_a_request_that_says_one_thing_passes() -> None:
    revisions.check_modern(_headers(name="say"), _message(name="say"))
    revisions.check_modern(_headers(name="=?base64?w6k=?="), _message(name="é"))
    revisions.check_modern(_headers(method="tools/list"), _message(method="tools/list"))


@pytest.mark.parametrize(
    ("headers", "message", "code"),
    [
        (_headers(), {"method": "tools/call", "params": {}}, -32602),
        (_headers(version="2025-11-25", name="say"), _message(name="say"), -32020),
        (_headers(method="tools/list", name="say"), _message(name="say"), -32020),
        (_headers(name="other"), _message(name="say"), -32020),
        (_headers(name="=?base64?!?="), _message(name="say"), -32020),
        (_headers(version="2031-01-01", name="say"), _message("2031-01-01", name="say"), -32022),
        (_headers(name="say"), _message(7, name="say"), -32020),
    ],
)
def test_a_request_that_says_too_little_or_two_things_is_refused(
    headers: dict[bytes, bytes], message: dict[str, Any], code: int
) -> None:
    with pytest.raises(RpcError) as refused:
        revisions.check_modern(headers, message)
    assert refused.value.code == code


def test_initialize_is_answered_with_a_revision_of_its_era() -> None:
    assert revisions.agreed("2025-03-26") == "2025-03-26"
    assert revisions.agreed("2026-07-28") == revisions.agreed(None) == "2025-11-25"
