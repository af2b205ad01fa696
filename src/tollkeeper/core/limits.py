"""How much and how long the door lets a client take."""

from typing import Annotated

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]


LEAST_CHUNK = 16
"""Bytes. No client that means well sends thousands of smaller ones; see DoorLimits.tiny_chunks."""


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
    json_values: Positive = 1_000_000
    """Values in a JSON body: a megabyte of empty lists becomes twenty-five of objects; 413."""
    header_seconds: Seconds = 10.0
    """From the first byte of a request to the end of its headers; 408."""
    body_seconds: Seconds = 60.0
    """Without a byte of a body that is awaited, and for a body as a whole before `body_rate` allows it more; 408."""
    body_rate: Positive = 500
    """Bytes of a body that earn it another second, as in Apache's mod_reqtimeout: one byte now and then holds no place."""
    tiny_chunks: Positive = 10_000
    """Chunks of a body after which they must have had `LEAST_CHUNK` bytes on average; 400."""
    connections: Positive = 50_000
    """Open at one time, and fewer where the operating system allows this process fewer files; 503."""
    idle_seconds: Seconds = 75.0
    """Between two requests on one connection; closed in silence."""
    write_seconds: Seconds = 120.0
    """Without the client taking 64 KB of an answer that waits for it (the kernel tells of no less); the connection is
    aborted."""


class SocketLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much and how long a WebSocket lets a client take. Close codes are named where one is sent."""

    message: Positive = 1024 * 1024
    """Bytes of one message, its fragments together; 1009."""
    frames: Positive = 1000
    """Frames a second of all kinds, pings and fragments too; 1008."""
    messages_per_minute: Positive = 120
    """Of a key, over all its sockets; those beyond it are refused, twice as many close the socket with 1008."""
    connections_per_key: Positive = 1000
    """Open at one time; 429 in the place of a socket."""
    answers: Positive = 8
    """Answers under way on one socket, those that wait for their turn included; further messages are refused."""
    idle_seconds: Seconds = 600.0
    """Without a message or an answer; 1001."""
    ping_seconds: Seconds = 30.0
    """Between two pings of ours."""
    pong_seconds: Seconds = 20.0
    """For an answer to a ping or to a close; 1011."""
    write_seconds: Seconds = 120.0
    """Without the client taking anything of what waits for it; the connection is aborted."""
