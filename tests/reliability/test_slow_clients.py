"""Clients that take their time: they hold no place for long, cost little memory, and nobody waits for them."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient, refusal
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_answer, chat_events, json_answer
from kit.vitals import becomes, resident

ASK = {"model": "m", "messages": []}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
MEGABYTE = 1024 * 1024
CONFIG = """
[server.limits]
header_seconds = {header}
body_seconds = {body}
write_seconds = {write}
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
leave = "cancel"
timeouts = {{ idle = 3, first_byte = 10 }}
[models.m]
targets = ["up/m"]
"""


class Words:
    """Answers at once; or streams words for ever, as fast as they are taken, to whoever asks for a stream."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = 0

    def __call__(self, request: Request, connection: Connection) -> bool:
        if not request.json().get("stream"):
            return bool(json_answer(200, chat_answer())(request, connection))
        word = chat_events(["word"], None)[0].replace(b'"choices"', b'"obfuscation":"%b","choices"' % (b"x" * 5000))
        connection.send(SSE_HEAD)
        while connection.chunk(word):
            self.sent += len(word)
        self.ended += 1
        return False


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.fixture(scope="module")
def gate(words: Words, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """One whose times are short."""
    with _gate(words, tmp_path_factory.mktemp("gate"), header=1, body=3, write=3) as running:
        yield running


@contextlib.contextmanager
def _gate(words: Words, folder: Path, **seconds: float) -> Iterator[GateProcess]:
    with (
        ScriptedUpstream(words) as upstream,
        running_gate(folder, CONFIG.format(url=upstream.url, **seconds)) as running,
    ):
        yield running


def _trickle(sockets: list[socket.socket], every: float, stop: threading.Event) -> None:
    """A byte on each of them now and then."""
    while not stop.wait(every):
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.send(b"a")


def _hold_back(gate: GateProcess, key: str, count: int, every: float, seconds: float) -> None:
    """Opens `count` connections whose headers trickle in, calls meanwhile, and sees them all closed in time."""
    stop = threading.Event()
    slow = [socket.create_connection(("127.0.0.1", gate.port), 5) for _ in range(count)]
    began = time.monotonic()
    for sock in slow:
        sock.send(HEAD + b"slow: ")
    trickling = threading.Thread(target=_trickle, args=(slow, every, stop))
    trickling.start()
    try:
        for _ in range(40):
            assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
        for sock in slow:
            sock.settimeout(seconds + 25)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(65536).startswith(b"HTTP/1.1 408 ")
                while sock.recv(65536):
                    pass

        assert time.monotonic() - began < seconds + 25
    finally:
        stop.set()
        trickling.join()
        for sock in slow:
            sock.close()


@pytest.mark.row(13)
def test_connections_whose_headers_trickle_in_are_closed_in_time_and_good_clients_served_meanwhile(
    gate: GateProcess, key: str
) -> None:
    _hold_back(gate, key, 100, 0.2, 1)


@pytest.mark.row(13)
@pytest.mark.long
def test_a_thousand_connections_whose_headers_trickle_in_are_closed_after_ten_seconds(
    words: Words, tmp_path: Path
) -> None:
    with _gate(words, tmp_path, header=10, body=60, write=120) as gate:
        _hold_back(gate, gate.new_key(), 1000, 5, 10)


@pytest.mark.row(14)
def test_a_body_that_trickles_in_is_given_up_on_though_it_never_stops(gate: GateProcess, key: str) -> None:
    with RawClient(gate.port) as client:
        client.send(HEAD + b"authorization: Bearer %b\r\ncontent-length: 1000\r\n\r\n" % key.encode())
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 30:
                client.send(b" ")
                time.sleep(0.1)

        assert refusal(client.read_all()) == (408, "request_timeout")
        assert 1 < time.monotonic() - began < 25


@pytest.mark.row(14)
def test_a_body_that_takes_longer_but_keeps_coming_is_taken(gate: GateProcess, key: str) -> None:
    body = json.dumps({**ASK, "user": "x" * 3000}).encode()
    with RawClient(gate.port) as client:
        client.send(HEAD + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), len(body)))
        for at in range(0, len(body), 400):
            time.sleep(0.5)
            client.send(body[at : at + 400])

        assert client.read_until(b"chat.completion").startswith(b"HTTP/1.1 200 ")


def _stands_still(words: Words) -> bool:
    sent = words.sent
    time.sleep(0.2)
    return words.sent == sent


@pytest.mark.row(15)
def test_clients_that_do_not_read_their_streams_hold_back_the_provider_and_are_dropped(
    gate: GateProcess, words: Words, key: str
) -> None:
    count = 10
    assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
    before = resident(gate.process.pid)
    clients = []
    for _ in range(count):
        client = RawClient(gate.port)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.post("/v1/chat/completions", key, {**ASK, "stream": True})
        clients.append(client)
    ended = words.ended

    assert becomes(lambda: _stands_still(words))
    assert resident(gate.process.pid) - before < count * MEGABYTE
    assert becomes(lambda: words.ended == ended + count)
    assert becomes(lambda: [event["outcome"] for event in gate.events()].count("client_left") == count)
    for client in clients:
        client.sock.close()


@pytest.mark.row(15)
def test_a_client_that_reads_slowly_but_reads_is_not_dropped(gate: GateProcess, words: Words, key: str) -> None:
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, {**ASK, "stream": True})
        ended, until = words.ended, time.monotonic() + 4
        while time.monotonic() < until:
            assert client.sock.recv(32768)
            time.sleep(0.05)

        assert words.ended == ended
