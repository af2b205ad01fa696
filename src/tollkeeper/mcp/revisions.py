"""Which revision of the protocol a request speaks, and whether it says so in one voice.

Two eras are served on one path. Until 2025-11-25 a client begins with `initialize`; here nothing is remembered of it, and
no session is given out. Since 2026-07-28 every request says for itself which revision it speaks, in its body and, so that
gateways can route it unread, in its headers; both must say the same.
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from tollkeeper.mcp.errors import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, RpcError

MODERN = ("2026-07-28",)
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Newest first."""

VERSION_HEADER = b"mcp-protocol-version"
_METHOD_HEADER = b"mcp-method"
_NAME_HEADER = b"mcp-name"
_VERSION = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_WRAPPED, _WRAPPED_END = "=?base64?", "?="


def is_modern(headers: Mapping[bytes, bytes], message: Mapping[str, Any]) -> bool:
    """Whether a request is of the era in which each says which revision it speaks. Notifications say it in a header."""
    said = headers.get(VERSION_HEADER, b"").decode("latin-1")
    return (said not in HANDSHAKE and said != "") or _VERSION in _meta(message)


def check_modern(headers: Mapping[bytes, bytes], message: Mapping[str, Any]) -> None:
    """Raises RpcError where the request does not say what it must, says two things, or speaks a revision not served."""
    method = message.get("method")
    meta = _meta(message)
    missing = [name for name in (_VERSION, _CAPABILITIES) if name not in meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}.")
    version = meta[_VERSION]
    if headers.get(VERSION_HEADER, b"").decode("latin-1") != version:
        raise RpcError(HEADER_MISMATCH, "The header MCP-Protocol-Version and params._meta name different revisions.")
    if headers.get(_METHOD_HEADER, b"").decode("latin-1") != method:
        raise RpcError(HEADER_MISMATCH, "The header Mcp-Method is not the body's method.")
    named = _NAMED.get(method) if isinstance(method, str) else None
    if named is not None:
        wanted = message["params"].get(named)
        if wanted is not None and _unwrapped(headers.get(_NAME_HEADER, b"").decode("latin-1")) != wanted:
            raise RpcError(HEADER_MISMATCH, f"The header Mcp-Name is not the body's {named}.")
    check_version(version)


def check_version(version: str) -> None:
    """Raises RpcError where it is none of the newer era's."""
    if version not in MODERN:
        raise RpcError(
            UNSUPPORTED_VERSION, "Unsupported protocol version.", {"supported": list(MODERN), "requested": version}
        )


def agreed(asked: object) -> str:
    """What `initialize` answers: the client's own revision where it is served, else the newest of its era."""
    return asked if isinstance(asked, str) and asked in HANDSHAKE else HANDSHAKE[0]


def _meta(message: Mapping[str, Any]) -> Mapping[str, Any]:
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta if isinstance(meta, dict) else {}


def _unwrapped(value: str) -> str | None:
    """A header's value, which travels as base64 where it is not plain ASCII; None where that is broken."""
    if not (value.startswith(_WRAPPED) and value.endswith(_WRAPPED_END)):
        return value
    try:
        return base64.b64decode(value[len(_WRAPPED) : -len(_WRAPPED_END)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
