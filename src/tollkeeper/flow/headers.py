"""Which of a provider's answer headers the client gets."""

from tollkeeper.core.ports import Headers
from tollkeeper.core.remembered import Remembered

_DROPPED = frozenset(
    # Hop-by-hop and framing, which the door makes anew (RFC 9110, 7.6.1); what is about the provider's own site or
    # about our account with it and not about the answer.
    b"""connection keep-alive proxy-connection transfer-encoding content-length te trailer upgrade date server via
    set-cookie alt-svc strict-transport-security nel report-to expect-ct cf-ray cf-cache-status
    access-control-allow-origin access-control-expose-headers access-control-allow-credentials
    openai-organization openai-project www-authenticate proxy-authenticate""".split()
)


def relayed(headers: Headers) -> Headers:
    """The answer's own headers. The provider's request id travels as x-upstream-request-id; x-request-id is ours."""
    return [(told, value) for name, value in headers if (told := _told[name])]


def _name(name: bytes) -> bytes:
    if name in _DROPPED or name.startswith(b"x-tollkeeper-"):
        return b""
    return b"x-upstream-request-id" if name == b"x-request-id" else name


_told = Remembered(_name)
"""A header's name as the client gets it, empty where it does not."""


def value_of(headers: Headers, wanted: bytes) -> bytes:
    """The first value of a header, empty where there is none."""
    for name, value in headers:
        if name == wanted:
            return value
    return b""
