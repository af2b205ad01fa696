"""WebSocket clients for tests: a well-behaved one, and raw frames for the others."""

import contextlib
import json
import struct
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from kit.gate import GateProcess
from kit.raw import RawClient

WAIT = 30.0
"""Seconds for what must come, however busy the machine is."""


@contextlib.contextmanager
def opened(gate: GateProcess, key: str | None = None, path: str = "/ws", **options: Any) -> Iterator[ClientConnection]:
    """An open socket. `headers` beside the key's; other options are those of websockets."""
    headers = dict(options.pop("headers", {}))
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    url = f"ws://127.0.0.1:{gate.port}{path}"
    options = {"open_timeout": WAIT, "close_timeout": WAIT, "ping_interval": None, "compression": None, **options}
    with connect(url, additional_headers=headers, proxy=None, **options) as socket:
        yield socket


def refused(gate: GateProcess, key: str | None = None, path: str = "/ws", **options: Any) -> tuple[int, str]:
    """Status and code of the answer in the place of a socket."""
    try:
        with opened(gate, key, path, **options):
            raise AssertionError("it was opened")
    except InvalidStatus as error:
        return error.response.status_code, json.loads(error.response.body)["error"]["code"]


def say(socket: ClientConnection, action: str | None = "sendmessage", **members: Any) -> None:
    """One message."""
    socket.send(json.dumps({"action": action, **members} if action is not None else members))


def frame(socket: ClientConnection) -> dict[str, Any]:
    """The next message, which is a JSON frame."""
    found: dict[str, Any] = json.loads(socket.recv(WAIT))
    return found


def frames(socket: ClientConnection, *last: str) -> list[dict[str, Any]]:
    """Frames up to one of a type in `last` (done, error)."""
    found = []
    while True:
        found.append(frame(socket))
        if found[-1]["type"] in (last or ("done", "error")):
            return found


def closed(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close that must come."""
    while True:
        try:
            socket.recv(WAIT)
        except ConnectionClosed as error:
            close = error.rcvd
            break
    assert close is not None, "it ended without a close"
    return close.code, close.reason


class RawSocket(RawClient):
    """A client that writes frames itself, right or wrong."""

    def __init__(self, port: int, key: str, path: str = "/ws") -> None:
        super().__init__(port)
        self.send(
            f"GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"authorization: Bearer {key}\r\n\r\n".encode()
        )
        self.read_until(b"\r\n\r\n")
        assert self.received.startswith(b"HTTP/1.1 101"), self.received
        self.received = self.received.partition(b"\r\n\r\n")[2]

    def frame(self, opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> None:
        """One frame as it is told."""
        self.send(framed(opcode, data, fin=fin, masked=masked, reserved=reserved))

    def close_code(self) -> int:
        """The code of the close frame that must come last."""
        self.sock.settimeout(WAIT)
        self.read_all()
        rest, code = self.received, 0
        while rest:
            opcode, length = rest[0] & 15, rest[1] & 127
            at = {126: 4, 127: 10}.get(length, 2)
            length = int.from_bytes(rest[2:at], "big") if at > 2 else length
            if opcode == 8:
                code = struct.unpack("!H", rest[at : at + 2])[0]
            rest = rest[at + length :]
        return code


def framed(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """The bytes of one frame."""
    first = (128 if fin else 0) | reserved << 4 | opcode
    mask_bit = 128 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask_bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(data))
    if not masked:
        return head + data
    mask = b"\x37\xfa\x21\x3d"
    repeated = mask * (len(data) // 4 + 1)
    body = (int.from_bytes(data, "big") ^ int.from_bytes(repeated[: len(data)], "big")).to_bytes(len(data), "big")
    return head + mask + body
