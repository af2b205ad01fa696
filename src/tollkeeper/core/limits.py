"""How much and how long the door lets a client take."""

from typing import Annotated

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]


class DoorLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes and seconds. What exceeds them is answered with the status named here."""

    url: Positive = 8 * 1024
    """414."""
    headers: Positive = 32 * 1024
    """All names and values of one request; 431."""
    header_count: Positive = 100
    """431."""
    body: Positive = 512 * 1024 * 1024
    """Any body, by content-length or as it comes; 413."""
    json_body: Positive = 64 * 1024 * 1024
    """A JSON body, which is read whole; 413."""
    header_seconds: Seconds = 10.0
    """From the first byte of a request to the end of its headers; 408."""
    body_seconds: Seconds = 60.0
    """Without a byte of a body that is awaited; 408."""
    idle_seconds: Seconds = 75.0
    """Between two requests on one connection; closed in silence."""
    write_seconds: Seconds = 120.0
    """Without the client taking a byte of an answer that waits for it; the connection is aborted."""
