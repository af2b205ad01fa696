"""An upstream that does as it is told, byte by byte: it can answer, stream, stall, cut, lie, and it counts.

It speaks raw sockets on a thread of its own, so that nothing of the gate's own HTTP code is on both sides of a test.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request as its bytes came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One open connection, handed to a script."""

    sock: socket.socket
    closed_by_peer: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> bool:
        """False once the peer is gone."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed_by_peer.set()
            return False
        return True

    def chunk(self, data: bytes) -> bool:
        """One HTTP chunk."""
        return self.send(b"%x\r\n%b\r\n" % (len(data), data)) if data else True

    def end(self) -> bool:
        """The terminating chunk."""
        return self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Closes with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_peer_to_close(self, seconds: float) -> float | None:
        """Seconds until the peer closed; None if it did not."""
        began = time.monotonic()
        self.sock.settimeout(seconds)
        with suppress(OSError):
            if not self.sock.recv(1):
                self.closed_by_peer.set()
                return time.monotonic() - began
        if self.closed_by_peer.is_set() or time.monotonic() - began < seconds:
            return time.monotonic() - began
        return None


Script = Callable[[Request, Connection], "bool | None"]
"""Answers one request; True keeps the connection for the next."""


class ScriptedUpstream:
    """Listens on a free loopback port. `script` may be replaced at any time; `requests` keeps what came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def __enter__(self) -> "ScriptedUpstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, suppress(OSError):
            for request in _requests(sock):
                with self._lock:
                    self.requests.append(request)
                if not self.script(request, Connection(sock)):
                    return


def _requests(sock: socket.socket) -> Iterator[Request]:
    file = sock.makefile("rb")
    while line := file.readline():
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (header := file.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(file.readline() or b"-1", 16):
                if size < 0:
                    return  # the peer left inside its body
                body += file.read(size)
                file.readline()
            file.readline()
        else:
            body = file.read(int(headers.get("content-length", "0")))
        yield Request(method, path, headers, body, time.monotonic())


def json_answer(status: int, body: Any, *headers: str) -> Script:
    """A whole JSON answer; the connection is kept."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def script(request: Request, connection: Connection) -> bool:
        head = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}", *headers]
        return connection.send("\r\n".join(head).encode() + b"\r\n\r\n" + data)

    return script


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def event_stream(data: bytes, cut: int | None = None, pace: float = 0.0) -> Script:
    """An event stream in chunks of `cut` bytes (None: one chunk), properly ended; the connection is kept."""

    def script(request: Request, connection: Connection) -> bool:
        size = cut or len(data)
        if cut is not None and not pace:
            # Many tiny chunks in few writes: what matters is how HTTP cuts them.
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            return connection.send(SSE_HEAD + framed) and connection.end()
        connection.send(SSE_HEAD)
        for at in range(0, len(data), size):
            if not connection.chunk(data[at : at + size]):
                return False
            if pace:
                time.sleep(pace)
        return connection.end()

    return script


def chat_answer(text: str = "Hello!", prompt_tokens: int = 9, completion_tokens: int = 3) -> dict[str, Any]:
    """A whole chat completion as OpenAI answers it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def chat_events(
    words: list[str], usage: dict[str, int] | None, *, null_usage: bool = False, finish: bool = True
) -> list[bytes]:
    """A chat completion's events as OpenAI streams them; with `usage` as if include_usage had been set."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}
    events = []
    for word in words:
        chunk: dict[str, Any] = {**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        events.append(chunk | ({"usage": None} if usage or null_usage else {}))
    if finish:
        chunk = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events.append(chunk | ({"usage": None} if usage or null_usage else {}))
    if usage:
        events.append({**head, "choices": [], "usage": usage})
    encoded = [b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n" for event in events]
    return encoded + ([b"data: [DONE]\n\n"] if finish else [])


def usage_of(prompt: int, completion: int) -> dict[str, int]:
    """A usage object's plain numbers."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
