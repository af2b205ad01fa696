"""How much and how long the door lets a client take."""

from msgspec import Struct


class DoorLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes and seconds. What exceeds them is answered with the status named here."""

    url: int = 8 * 1024
    """414."""
    headers: int = 32 * 1024
    """All names and values of one request; 431."""
    header_count: int = 100
    """431."""
    body: int = 512 * 1024 * 1024
    """Any body, by content-length or as it comes; 413."""
    json_body: int = 64 * 1024 * 1024
    """A JSON body, which is read whole; 413."""
    header_seconds: float = 10.0
    """From the first byte of a request to the end of its headers; 408."""
    body_seconds: float = 60.0
    """Without a byte of a body that is awaited; 408."""
    idle_seconds: float = 75.0
    """Between two requests on one connection; closed in silence."""
    write_seconds: float = 120.0
    """Without the client taking a byte of an answer that waits for it; the connection is aborted."""
