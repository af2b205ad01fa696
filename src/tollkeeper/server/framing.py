"""What a request's headers say of how it is framed, which are for this connection alone, and what is refused of it."""

import httptools

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.limits import DoorLimits

Headers = list[tuple[bytes, bytes]]
"""Names are in lower case."""

_OF_THIS_HOP = frozenset((b"keep-alive", b"close"))
_KEPT = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect", b"connection", b"upgrade"))
"""No Connection header drops them."""
_OFFER = frozenset((b"upgrade", b"http2-settings"))


def check(version: str, headers: Headers, named: dict[bytes, bytes]) -> None:
    """Refuses what two parsers could frame differently (RFC 9112, 6.1 and 6.3): request smuggling lives there.

    `named` is `dict(headers)`. Raises CallerError (400, 501).
    """
    if len(named) != len(headers):
        _check_repeated(headers)
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if length is not None and not length.isdigit():
        raise _bad_length()
    if coding is not None:
        if coding.lower() != b"chunked":
            raise _other_coding()
        if length is not None or version == "1.0":
            raise invalid("Transfer-Encoding excludes Content-Length and HTTP/1.0.")
    if b"host" not in named and version == "1.1":
        raise _no_host()


def without_this_hops(headers: Headers, named: dict[bytes, bytes]) -> tuple[Headers, dict[bytes, bytes]]:
    """Drops the headers that Connection headers name: they are for us alone (RFC 9110, 7.6.1)."""
    if len(named) == len(headers) and named[b"connection"].lower() in _OF_THIS_HOP:
        return headers, named
    said = [value.lower() for name, value in headers if name == b"connection"]
    dropped = {name.strip() for value in said if value not in _OF_THIS_HOP for name in value.split(b",")} - _KEPT
    if dropped.isdisjoint(named):
        return headers, named
    headers = [header for header in headers if header[0] not in dropped]
    return headers, dict(headers)


def without_offer(line: bytes, headers: Headers) -> bytes | None:
    """A request's head without its offer to go on in HTTP/2; None where it asks for anything else.

    Java's own client makes that offer with every first request, and a server that ignores it is right (RFC 9110, 7.8).
    """
    if [value.strip().lower() for name, value in headers if name == b"upgrade"] != [b"h2c"]:
        return None
    lines = [line]
    for name, value in headers:
        if name == b"connection":
            value = b", ".join(word for word in map(bytes.strip, value.split(b",")) if word.lower() not in _OFFER)
        if value and name not in _OFFER:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def invalid(message: str) -> CallerError:
    """What is no request that can be answered otherwise."""
    return CallerError(message, code="invalid_http")


def _check_repeated(headers: Headers) -> None:
    """Of some headers there may be one only."""
    names = [name for name, _ in headers]
    if names.count(b"content-length") > 1:
        raise _bad_length()
    if names.count(b"transfer-encoding") > 1:
        raise _other_coding()
    if names.count(b"host") > 1:
        raise _no_host()


def _bad_length() -> CallerError:
    return invalid("Conflicting or malformed Content-Length.")


def _other_coding() -> CallerError:
    return CallerError("Only a single 'Transfer-Encoding: chunked' is understood.", status=501, code="invalid_http")


def _no_host() -> CallerError:
    return invalid("Exactly one Host header is needed.")


def too_many_headers(limits: DoorLimits) -> CallerError:
    return CallerError(
        f"The request's headers exceed {limits.headers} bytes or {limits.header_count} lines.",
        status=431,
        code="headers_too_large",
    )


def no_upgrade() -> CallerError:
    return CallerError("No protocol upgrade is offered here, but to a WebSocket.", code="upgrade_not_offered")


def late(message: str) -> CallerError:
    return CallerError(message, status=408, code="request_timeout")


def reason(error: httptools.HttpParserError) -> TollkeeperError:
    """What a callback of ours raised, without its traceback: that holds the frame that holds the request's bytes."""
    cause = error.__context__
    if isinstance(cause, TollkeeperError):
        return cause.with_traceback(None)
    return invalid("The request is not valid HTTP/1.1.")
