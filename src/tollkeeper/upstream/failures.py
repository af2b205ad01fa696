"""Foreign errors become ours, in one table."""

import asyncio
import socket
import ssl

from tollkeeper.core.errors import UpstreamError


def translated(error: BaseException, host: str) -> UpstreamError:
    """What happened on the way to `host`, in words that hold no secret and no address of the operator's network."""
    for kind, status, code, words in _TABLE:
        if isinstance(error, kind):
            return UpstreamError(f"{host}: {words}.", status=status, code=code)
    return UpstreamError(f"{host}: the connection failed.", code="upstream_connection_failed")


_TABLE: tuple[tuple[type[BaseException], int, str, str], ...] = (
    (asyncio.TimeoutError, 504, "upstream_connect_timeout", "no connection could be made in time"),
    (ssl.SSLCertVerificationError, 502, "upstream_certificate_invalid", "its TLS certificate could not be verified"),
    (ssl.SSLError, 502, "upstream_tls_failed", "TLS could not be negotiated"),
    (socket.gaierror, 502, "upstream_unknown_host", "its name could not be resolved"),
    (ConnectionRefusedError, 502, "upstream_refused", "it refused the connection"),
    (ConnectionResetError, 502, "upstream_reset", "it reset the connection"),
    (OSError, 502, "upstream_connection_failed", "the connection failed"),
)


def closed_early(host: str) -> UpstreamError:
    """The connection ended before any answer."""
    return UpstreamError(f"{host}: it closed the connection without an answer.", code="upstream_closed")


def cut(host: str) -> UpstreamError:
    """The connection ended inside the answer."""
    return UpstreamError(f"{host}: its answer broke off.", code="upstream_cut")


def not_http(host: str) -> UpstreamError:
    """The bytes that came are not an HTTP/1.1 answer."""
    return UpstreamError(f"{host}: its answer is not valid HTTP.", code="upstream_invalid_http")


def headers_too_large(host: str, limit: int) -> UpstreamError:
    """Endless headers end here."""
    return UpstreamError(f"{host}: its headers exceed {limit} bytes.", code="upstream_headers_too_large")


def silent(host: str, seconds: float) -> UpstreamError:
    """No first byte in time."""
    return UpstreamError(f"{host}: no answer within {seconds:g} s.", status=504, code="upstream_timeout")


def stalled(host: str, seconds: float) -> UpstreamError:
    """The answer began and then stopped."""
    return UpstreamError(f"{host}: its answer stalled for {seconds:g} s.", status=504, code="upstream_stalled")


def overdue(host: str, seconds: float) -> UpstreamError:
    """The whole attempt took too long."""
    return UpstreamError(f"{host}: not finished within {seconds:g} s.", status=504, code="upstream_deadline")
