"""Which web pages may call: a name that was made to point here must not open the gate to a page (DNS rebinding).

Servers are asked to look at Origin, which programs do not send:
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports
"""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit


def may_call(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Whether a request with this Origin ("" for none) and this Host may go on; `allowed` are origins that may.

    A page of the same host may call where that is no name that somebody else could make point here: an address, or
    localhost. Any other page's origin must be allowed by name.
    """
    if not origin or origin in allowed:
        return True
    scheme, _, of = origin.partition("://")
    return scheme in ("http", "https") and of != "" and of == host and _is_certain(of)


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, is this machine by itself."""
    address = _address(host)
    return _is_localhost(host) if address is None else address.is_loopback


def _is_certain(host: str) -> bool:
    return _is_localhost(host) or _address(host) is not None


def _is_localhost(host: str) -> bool:
    """RFC 6761, 6.3."""
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    for text in (host, _name(host)):
        try:
            return ipaddress.ip_address(text)
        except ValueError:
            continue
    return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
