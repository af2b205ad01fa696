"""Foreign errors become ours, in one table."""

import asyncio
import errno
import socket
import ssl

from tollkeeper.core.errors import GateError, TollkeeperError, UpstreamError


def translated(error: BaseException) -> TollkeeperError:
    """What happened on the way to a provider. No caller learns where that is: not its address, not its name."""
    if isinstance(error, OSError) and error.errno in _OURS:
        return GateError("The gate cannot open another connection now.", code="no_connection_left", headers=_SOON)
    for kind, status, code, words in _TABLE:
        if isinstance(error, kind):
            return UpstreamError(f"The provider cannot be reached: {words}.", status=status, code=code)
    return UpstreamError("The provider cannot be reached: the connection failed.", code="upstream_connection_failed")


_OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""This process or machine has run out: of files, of memory, of ports (EADDRNOTAVAIL)."""
_SOON = ((b"retry-after", b"1"),)

_TABLE: tuple[tuple[type[BaseException], int, str, str], ...] = (
    (asyncio.TimeoutError, 504, "upstream_connect_timeout", "no connection could be made in time"),
    (ssl.SSLCertVerificationError, 502, "upstream_certificate_invalid", "its TLS certificate could not be verified"),
    (ssl.SSLError, 502, "upstream_tls_failed", "TLS could not be negotiated"),
    (socket.gaierror, 502, "upstream_unknown_host", "its name could not be resolved"),
    (ConnectionRefusedError, 502, "upstream_refused", "it refused the connection"),
    (ConnectionResetError, 502, "upstream_reset", "it reset the connection"),
    (OSError, 502, "upstream_connection_failed", "the connection failed"),
)


def closed_early() -> UpstreamError:
    """The connection ended before any answer."""
    return UpstreamError("The provider closed the connection without an answer.", code="upstream_closed")


def cut() -> UpstreamError:
    """The connection ended inside the answer."""
    return UpstreamError("The provider's answer broke off.", code="upstream_cut")


def not_http() -> UpstreamError:
    """The bytes that came are not an HTTP/1.1 answer."""
    return UpstreamError("The provider's answer is not valid HTTP.", code="upstream_invalid_http")


def headers_too_large(limit: int) -> UpstreamError:
    """Endless headers end here."""
    return UpstreamError(
        f"The headers of the provider's answer exceed {limit} bytes.", code="upstream_headers_too_large"
    )


def not_taken(seconds: float) -> UpstreamError:
    """It reads no more of the request."""
    return UpstreamError(
        f"The provider did not take the request within {seconds:g} s.", status=504, code="upstream_timeout"
    )


def silent(seconds: float) -> UpstreamError:
    """No first byte in time."""
    return UpstreamError(f"The provider did not answer within {seconds:g} s.", status=504, code="upstream_timeout")


def stalled(seconds: float) -> UpstreamError:
    """The answer began and then stopped."""
    return UpstreamError(f"The provider's answer stalled for {seconds:g} s.", status=504, code="upstream_stalled")


def overdue(seconds: float) -> UpstreamError:
    """The whole attempt took too long."""
    return UpstreamError(
        f"The provider's answer took over {round(seconds, 3):g} s.", status=504, code="upstream_deadline"
    )
