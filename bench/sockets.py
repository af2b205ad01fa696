"""`python -m bench.sockets`: memory of open WebSockets, and when the first word arrives after it left the provider."""

import argparse
import contextlib
import json
import resource
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench import servers
from bench.processes import resident_kb

ASK = json.dumps({"action": "sendmessage", "data": "hello"}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
SOCKETS = """
[websocket]
model = "gpt-4o-mini"
[websocket.limits]
connections_per_key = 10_000
messages_per_minute = 1_000_000
ping_seconds = 3_600
"""


class Provider:
    """Answers one word and says when it sent it."""

    def __init__(self) -> None:
        self.sent_at = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                received += data
                if not received.endswith(b"}"):
                    continue
                received = b""
                first = _event(choices=[{"index": 0, "delta": {"content": "word"}, "finish_reason": None}])
                self.sent_at = time.perf_counter()
                connection.sendall(HEAD + first)
                rest = _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
                rest += _event(choices=[], usage=USAGE)
                connection.sendall(rest + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def _event(**fields: object) -> bytes:
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", **fields}
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def opened(server: servers.Server) -> socket.socket:
    """A socket past its opening."""
    connection = socket.create_connection(("127.0.0.1", server.port), 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(
        b"GET /ws HTTP/1.1\r\nhost: gate\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer %b\r\n\r\n" % server.key.encode()
    )
    head = connection.recv(4096)
    if not head.startswith(b"HTTP/1.1 101"):
        sys.exit(f"not opened: {head!r}")
    return connection


def ask(connection: socket.socket) -> float:
    """One question; when its word was here. Masked with zeros, which change nothing."""
    connection.sendall(bytes([0x81, 0x80 | len(ASK), 0, 0, 0, 0]) + ASK)
    if connection.recv(4096) != b"\x81\x04word":
        sys.exit("another answer than was sent")
    return time.perf_counter()


def direct(connection: socket.socket) -> float:
    """The same word without a gate; when it was here."""
    connection.sendall(b"POST / HTTP/1.1\r\n\r\n{}")
    received = connection.recv(65536)
    here = time.perf_counter()
    while not received.endswith(b"0\r\n\r\n"):
        received += connection.recv(65536)
    return here


def shown(name: str, waited: list[float]) -> None:
    """One line: how long after it was sent a word was here, in milliseconds."""
    waited = sorted(waited)
    parts = [f"p{part} {waited[len(waited) * part // 100]:.2f}" for part in (10, 50, 99)]
    print(f"first word, {name}: {', '.join(parts)} ms after it was sent ({len(waited)} in turn)")


def main() -> None:
    """Runs from the command line."""
    options = argparse.ArgumentParser(prog="python -m bench.sockets", description=__doc__)
    options.add_argument("--open", type=int, default=2000, help="sockets that are open at one time [default: 2000]")
    options.add_argument("--asks", type=int, default=500, help="questions, one after another [default: 500]")
    given = options.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers.GATE += SOCKETS
    provider = Provider()
    with tempfile.TemporaryDirectory() as folder, servers.tollkeeper(Path(folder), provider.port) as gate:
        through: list[float] = []
        without: list[float] = []
        with opened(gate) as connection, socket.create_connection(("127.0.0.1", provider.port), 30) as plain:
            for _ in range(given.asks + 50):
                here = ask(connection)
                through.append((here - provider.sent_at) * 1000)
                here = direct(plain)
                without.append((here - provider.sent_at) * 1000)
                time.sleep(0.002)
        shown("through the gate", through[50:])
        shown("straight from the provider", without[50:])
        idle = resident_kb(gate.pid)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(opened(gate)) for _ in range(given.open)]
            time.sleep(1)
            each = (resident_kb(gate.pid) - idle) / given.open
            print(f"memory, {given.open} open: {each:.1f} KB each, silent")
            for each_one in connections:
                ask(each_one)
            time.sleep(1)
            each = (resident_kb(gate.pid) - idle) / given.open
            print(f"memory, {given.open} open: {each:.1f} KB each, after one answer on each")


if __name__ == "__main__":
    main()
