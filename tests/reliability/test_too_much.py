"""Too much of a good thing: headers, bodies, chunks and compressed bytes beyond their bounds."""

import contextlib
import json

import pytest

from kit.gate import GateProcess
from kit.raw import RawClient, refusal
from kit.scripted import ScriptedUpstream
from kit.vitals import cpu_seconds, resident

ASK = {"model": "m", "messages": []}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
MEGABYTE = 1024 * 1024
JSON_LIMIT = 1_000_000


@pytest.mark.row(10)
@pytest.mark.parametrize(
    ("begin", "piece", "end", "status", "code"),
    [
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\na: ", b"a" * 16384, b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * 2730, b"\r\n", 431, "headers_too_large"),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\n", b"a" * 16384, b": b\r\n\r\n", 431, "headers_too_large"),
        (b"GET /", b"a" * 16384, b" HTTP/1.1\r\nhost: x\r\n\r\n", 414, "url_too_long"),
        (b"", b"A" * 16384, b" / HTTP/1.1\r\n\r\n", 400, "invalid_http"),
    ],
    ids=["value", "lines", "name", "url", "method"],
)
def test_headers_beyond_their_bounds_are_refused_at_once_and_leave_no_memory_behind(
    gate: GateProcess, begin: bytes, piece: bytes, end: bytes, status: int, code: str
) -> None:
    before = resident(gate.process.pid)
    for _ in range(40):
        with RawClient(gate.port) as client:
            with contextlib.suppress(OSError):  # it was refused before all was sent
                client.send(begin + piece * 5 + end)
            assert refusal(client.read_all()) == (status, code)

    assert resident(gate.process.pid) - before < 4 * MEGABYTE


@pytest.mark.row(11)
@pytest.mark.parametrize("path", ["chat/completions", "files"])
def test_a_body_that_says_it_is_too_long_is_refused_before_any_of_it_came(
    gate: GateProcess, key: str, path: str
) -> None:
    with RawClient(gate.port) as client:
        head = f"POST /v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 2000001\r\n\r\n"
        client.send(head.encode())
        client.read_until(b"}}")

    assert refusal(client.received) == (413, "request_too_large")


@pytest.mark.row(11)
def test_a_body_that_grows_too_long_is_refused_within_the_next_piece(gate: GateProcess, key: str) -> None:
    """The client goes on sending: what comes after the refusal is thrown away, not kept."""
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    before = resident(gate.process.pid)
    with RawClient(gate.port) as client:
        client.send(POST + b"authorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode())
        for _ in range(JSON_LIMIT // 65536 + 1):
            client.send(piece)
        client.read_until(b"}}")
        assert refusal(client.received) == (413, "request_too_large")
        for _ in range(100):
            client.send(piece)

        assert resident(gate.process.pid) - before < 4 * MEGABYTE


@pytest.mark.row(11)
def test_a_body_that_is_thrown_away_is_not_listened_to_for_ever(gate: GateProcess, key: str) -> None:
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    with RawClient(gate.port) as client:
        client.send(POST + b"authorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode())
        sent = 0
        try:
            while sent < 64 * MEGABYTE:
                client.send(piece)
                sent += len(piece)
        except OSError:
            pass

    assert sent < 32 * MEGABYTE


@pytest.mark.row(12)
def test_a_million_chunks_of_one_byte_are_refused_and_cost_little(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    before, cpu = len(upstream.requests), cpu_seconds(gate.process.pid)
    with RawClient(gate.port) as client:
        client.send(POST + b"authorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode())
        try:
            for _ in range(100):
                client.send(b"1\r\n \r\n" * 10_000)
        except OSError:
            pass
        answer = client.read_all()

    assert refusal(answer) == (400, "tiny_chunks")
    assert cpu_seconds(gate.process.pid) - cpu < 1
    assert len(upstream.requests) == before


@pytest.mark.row(12)
def test_a_body_in_small_chunks_is_taken(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    body = json.dumps({**ASK, "user": "x" * 9000}).encode()
    with RawClient(gate.port) as client:
        client.send(POST + b"authorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n" % key.encode())
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        client.read_until(b"chat.completion")

    assert upstream.requests[-1].json()["user"] == "x" * 9000


@pytest.mark.row(16)
@pytest.mark.parametrize("path", ["chat/completions", "files", "audio/transcriptions"])
@pytest.mark.parametrize(
    "lines",
    [
        ["gzip"],
        ["br"],
        ["zstd"],
        ["deflate"],
        ["gzip, gzip, gzip"],
        ["GZIP"],
        ["identity, gzip"],
        ["unknown"],
    ],
    ids=" ".join,
)
def test_a_compressed_body_is_refused_unread(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: str, lines: list[str]
) -> None:
    before = len(upstream.requests)
    with RawClient(gate.port) as client:
        client.post(f"/v1/{path}", key, ASK, *(f"content-encoding: {line}" for line in lines))
        client.read_until(b"}}")

    assert refusal(client.received) == (415, "unsupported_content_encoding")
    assert len(upstream.requests) == before


@pytest.mark.row(16)
@pytest.mark.parametrize("name", ["content-encoding", "content-type"])
def test_a_body_that_says_twice_how_it_is_to_be_read_is_refused(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, name: str
) -> None:
    before = len(upstream.requests)
    values = {"content-encoding": ["gzip", "identity"], "content-type": ["multipart/form-data; boundary=x"]}[name]
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK, *(f"{name}: {value}" for value in values))
        client.read_until(b"}}")

    assert refusal(client.received) == (400, "invalid_http")
    assert len(upstream.requests) == before
