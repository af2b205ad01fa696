"""A client that writes bytes: what no HTTP library would send, and streams read as they arrive."""

import json
import socket
import struct
import time
from typing import Any


class RawClient:
    """One TCP connection to the gate."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.received = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def post(self, path: str, key: str, body: Any, *headers: str) -> None:
        """One POST of JSON, written whole."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "host: gate", f"authorization: Bearer {key}", *headers]
        lines += ["content-type: application/json", f"content-length: {len(data)}"]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    def read_until(self, mark: bytes) -> bytes:
        """All bytes so far, once `mark` is among them. Fails where the connection ends before."""
        while mark not in self.received:
            data = self.sock.recv(65536)
            assert data, f"the connection ended before {mark!r}: {self.received[-500:]!r}"
            self.received += data
        return self.received

    def read_all(self) -> bytes:
        """Everything until the gate closes."""
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return self.received
            if not data:
                return self.received
            self.received += data

    def closes_within(self, seconds: float) -> bool:
        """Whether the gate closes the connection in time."""
        self.sock.settimeout(seconds)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return False
            except ConnectionResetError:
                return True
            if not data:
                return True
            self.received += data
        return False

    def reset(self) -> None:
        """Leaves with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def body_of(answer: bytes) -> tuple[bytes, bool]:
    """The body of a raw chunked answer, and whether its terminating chunk came."""
    rest = answer.partition(b"\r\n\r\n")[2]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body, True
        body += rest[:length]
        rest = rest[length + 2 :]
    return body, False


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of the last answer in these bytes, which must be an error in OpenAI's envelope."""
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split(b" ")[1]), error["code"]
