"""The door's own WebSocket: openings, breaches, floods, slow readers, silence and the end of the gate."""

import contextlib
import json
import signal
import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient, refusal
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, usage_of
from kit.sockets import WAIT, RawSocket, closed, framed, frames, opened, say
from kit.vitals import resident

TEXT, CONT, CLOSE, PING = 1, 0, 8, 9
MEGABYTE = 1024 * 1024
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
leave = "cancel"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
[websocket]
model = "m"
[websocket.limits]
frames = 5000
ping_seconds = {ping}
pong_seconds = {ping}
idle_seconds = {idle}
write_seconds = {write}
"""
OPENING = (
    b"GET /ws HTTP/1.1\r\nhost: gate\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Pouring:
    """A stream without end, as fast as it is taken; it counts what it could send."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, request: Request, connection: Connection) -> bool:
        if request.json()["messages"][-1]["content"] == "short":
            connection.send(SSE_HEAD)
            connection.chunk(b"".join(chat_events(["short"], usage_of(1, 1))))
            return connection.end()
        event = chat_events(["x" * 10_000], None)[0]
        connection.send(SSE_HEAD)
        while connection.chunk(event):
            self.sent += len(event)
        return False


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(Pouring()) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = CONFIG.format(url=upstream.url, ping=60, idle=600, write=120)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


@pytest.fixture(scope="module")
def quick(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """One that soon loses patience."""
    config = CONFIG.format(url=upstream.url, ping=0.5, idle=5, write=0.5)
    with running_gate(tmp_path_factory.mktemp("quick"), config) as running:
        yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    return gate.new_key()


def still_answers(gate: GateProcess, key: str) -> None:
    with opened(gate, key, "/ws?format=json") as socket:
        say(socket, data="short")
        assert frames(socket)[-1]["type"] == "done"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ((b"websocket-version: 13", b"websocket-version: 8"), 426, "invalid_handshake"),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400, "invalid_handshake"),
        ((b"GET /ws", b"GET /v1/chat/completions"), 404, "not_found"),
        ((b"upgrade: websocket", b"upgrade: tls/1.2"), 400, "upgrade_not_offered"),
        ((b"GET /ws", b"POST /ws"), 400, "upgrade_not_offered"),
        ((b"host: gate", b"host: gate\r\ncontent-length: 3"), 400, "upgrade_not_offered"),
        ((b"authorization: Bearer", b"x-no-authorization:"), 401, "invalid_api_key"),
    ],
)
def test_a_bad_opening_is_answered_as_http(
    gate: GateProcess, key: str, change: tuple[bytes, bytes], status: int, code: str
) -> None:
    with RawClient(gate.port) as client:
        client.send((OPENING + b"authorization: Bearer %b\r\n\r\n" % key.encode()).replace(*change))
        assert refusal(client.read_all()) == (status, code)


def test_an_opening_behind_an_unanswered_request_is_refused_not_confused(gate: GateProcess, key: str) -> None:
    head = b"authorization: Bearer %b\r\n\r\n" % key.encode()
    with RawClient(gate.port) as client:
        client.send(b"GET /v1/models HTTP/1.1\r\nhost: gate\r\n" + head + OPENING + head)
        answers = client.read_all()

    assert answers.startswith(b"HTTP/1.1 200")
    assert refusal(answers) == (400, "upgrade_not_offered")


def test_frames_that_come_with_the_opening_are_read(gate: GateProcess, key: str) -> None:
    ask = json.dumps({"action": "sendmessage", "data": "short"}).encode()
    with RawClient(gate.port) as client:
        client.send(OPENING + b"authorization: Bearer %b\r\n\r\n" % key.encode() + framed(TEXT, ask))
        client.read_until(b"\x81\x05short")


@pytest.mark.row(22)
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (framed(TEXT, b"\xff\xfe"), 1007),
        (framed(TEXT, b"x", masked=False), 1002),
        (framed(TEXT, b"x", reserved=4), 1002),
        (framed(CONT, b"x"), 1002),
        (framed(PING, b"x" * 126), 1002),
        (framed(TEXT, b"x" * (MEGABYTE + 1)), 1009),
        (framed(TEXT, b"x" * MEGABYTE, fin=False) + framed(CONT, b"x"), 1009),
        (framed(CLOSE, b"\x03\xe8"), 1000),
        (framed(PING, b"") * 20_000, 1008),
        (framed(TEXT, b"", fin=False) + framed(CONT, b"", fin=False) * 20_000, 1008),
    ],
    ids=["utf8", "unmasked", "reserved", "continued", "ping", "large", "fragments", "close", "pings", "empties"],
)
def test_a_breach_or_a_flood_closes_with_the_right_code(gate: GateProcess, key: str, sent: bytes, code: int) -> None:
    with RawSocket(gate.port, key) as client:
        client.send(sent)
        assert client.close_code() == code
    still_answers(gate, key)


@pytest.mark.row(22)
def test_a_message_of_64_megabytes_is_refused_by_its_head_and_takes_no_memory(gate: GateProcess, key: str) -> None:
    still_answers(gate, key)
    before = resident(gate.process.pid)
    with RawSocket(gate.port, key) as client:
        client.send(framed(TEXT, b"")[:1] + bytes([128 | 127]) + (64 * MEGABYTE).to_bytes(8, "big") + b"mask")
        try:
            for _ in range(64):
                client.send(b"x" * MEGABYTE)
        except OSError:
            pass  # it was not taken
        else:
            assert client.close_code() in (1009, 0)

    assert resident(gate.process.pid) - before < 8 * MEGABYTE
    still_answers(gate, key)


@pytest.mark.row(22)
def test_pings_of_a_client_who_never_reads_pile_up_nowhere(gate: GateProcess, key: str) -> None:
    before = resident(gate.process.pid)
    with RawSocket(gate.port, key) as client:
        client.sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        client.sock.settimeout(2)
        try:
            for _ in range(200):
                client.send(framed(PING, b"x" * 125) * 100)
                time.sleep(0.02)
        except (TimeoutError, OSError):
            pass  # it is not listened to any more, or was closed

    assert resident(gate.process.pid) - before < 8 * MEGABYTE
    still_answers(gate, key)


def test_a_slow_reader_slows_the_upstream_and_fills_no_memory(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    pouring = upstream.script = Pouring()
    before = resident(gate.process.pid)
    with RawSocket(gate.port, key) as client:
        client.frame(TEXT, json.dumps({"action": "sendmessage", "data": "pour"}).encode())
        last, still = -1, 0
        until = time.monotonic() + WAIT
        while still < 5 and time.monotonic() < until:
            time.sleep(0.2)
            still = still + 1 if pouring.sent == last else 0
            last = pouring.sent
        assert still == 5, "the upstream was never stopped"
        assert pouring.sent < 30 * MEGABYTE  # what the kernels of three sockets take
        assert resident(gate.process.pid) - before < pouring.sent + 8 * MEGABYTE  # its words are kept to be counted
        client.read_until(b"x" * 1000)
        client.received = b""
        for _ in range(20):
            client.sock.recv(MEGABYTE)
        until = time.monotonic() + WAIT
        while pouring.sent == last and time.monotonic() < until:
            time.sleep(0.05)
        assert pouring.sent > last


def test_an_open_socket_takes_a_few_kilobytes(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """In a gate of its own: what others have left to be counted there takes memory too."""
    config = CONFIG.format(url=upstream.url, ping=60, idle=600, write=120)
    with running_gate(tmp_path / "gate", config) as gate, contextlib.ExitStack() as stack:
        key = gate.new_key()
        first = [stack.enter_context(RawSocket(gate.port, key)) for _ in range(50)]
        before = resident(gate.process.pid)
        many = [stack.enter_context(RawSocket(gate.port, key)) for _ in range(500)]
        each = (resident(gate.process.pid) - before) / len(many)
        assert len(first) == 50

    assert each < 40 * 1024


@pytest.mark.row(22)
def test_a_client_that_answers_no_ping_is_closed(quick: GateProcess) -> None:
    with RawSocket(quick.port, quick.new_key()) as client:
        assert client.close_code() == 1011


def test_an_idle_socket_is_closed_though_it_answers_pings(quick: GateProcess) -> None:
    with opened(quick, quick.new_key()) as socket:
        code, reason = closed(socket)

    assert code == 1001
    assert reason.startswith("Nothing was said")


@pytest.mark.row(22)
def test_a_reader_that_takes_nothing_at_all_loses_its_connection(
    quick: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = Pouring()
    with RawSocket(quick.port, quick.new_key()) as client:
        client.frame(TEXT, json.dumps({"action": "sendmessage", "data": "pour"}).encode())
        [event] = quick.events_once(1, WAIT)

    assert event["outcome"] == "client_left"


def test_a_gate_that_is_stopped_ends_its_answers_then_its_sockets(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    def slow(request: Request, connection: Connection) -> bool:
        events = chat_events(["one", " two"], usage_of(1, 2))
        connection.send(SSE_HEAD)
        connection.chunk(events[0])
        time.sleep(1.5)
        connection.chunk(b"".join(events[1:]))
        return connection.end()

    upstream.script = slow
    config = CONFIG.format(url=upstream.url, ping=60, idle=600, write=120)
    with running_gate(tmp_path / "gate", config) as gate:
        key = gate.new_key()
        with opened(gate, key, "/ws?format=json") as socket, opened(gate, key) as idle:
            say(socket, data="hello")
            frames(socket, "delta")
            gate.process.send_signal(signal.SIGTERM)

            assert closed(idle) == (1001, "The gate is shutting down.")
            assert frames(socket)[-1]["type"] == "done"
            assert closed(socket) == (1001, "The gate is shutting down.")
        assert gate.process.wait(WAIT) == 0
    upstream.script = Pouring()
