"""Requests that two parsers could read differently, where smuggling lives: refused, closed, nothing forwarded."""

import contextlib
import json

import pytest

from kit.gate import GateProcess
from kit.malformed import CHUNKED, MALFORMED, POST
from kit.raw import RawClient, refusal
from kit.scripted import ScriptedUpstream
from kit.vitals import resident

ASK = {"model": "m", "messages": []}
REFUSED = [
    pytest.param(sent, id=f"row{row}-{number}")
    for row, requests in MALFORMED.items()
    for number, sent in enumerate(requests)
]


@pytest.mark.row(1, 2, 3, 4, 5, 6, 7)
@pytest.mark.parametrize("sent", REFUSED)
def test_what_two_parsers_could_read_differently_is_refused_closed_and_not_forwarded(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, sent: bytes
) -> None:
    """Rows 1 to 7. The sender has a good key: it is the framing alone that is refused."""
    before = len(upstream.requests)
    sent = sent.replace(b"host: x\r\n", b"host: x\r\nauthorization: Bearer %b\r\n" % key.encode(), 1)
    with RawClient(gate.port) as client:
        client.send(sent)
        answer = client.read_all()

    assert answer.count(b"HTTP/1.1 ") == 1
    assert refusal(answer) in [(400, "invalid_http"), (501, "invalid_http")]
    assert b"connection: close\r\n" in answer
    assert len(upstream.requests) == before


@pytest.mark.row(8)
def test_a_good_request_is_answered_and_the_bad_one_behind_it_refused_without_cross_talk(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    before = len(upstream.requests)
    body = json.dumps({**ASK, "user": "first"}).encode()
    good = POST + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (key.encode(), len(body), body)
    with RawClient(gate.port) as client:
        client.send(good + CHUNKED + b"0x1\r\nsecond\r\n0\r\n\r\n" + good)
        answer = client.read_all()

    first, _, rest = answer.partition(b"HTTP/1.1 400 ")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"chat.completion" in first
    assert refusal(b"HTTP/1.1 400 " + rest) == (400, "invalid_http")
    assert [request.json()["user"] for request in upstream.requests[before:]] == ["first"]


@pytest.mark.row(8)
def test_a_request_behind_a_long_one_is_not_blamed_for_its_length(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    before = len(upstream.requests)
    head = POST + b"authorization: Bearer %b\r\n" % key.encode()
    body = json.dumps({**ASK, "user": "x" * 60_000}).encode()
    with RawClient(gate.port) as client:
        client.send(head + b"content-length: %d\r\n\r\n%b" % (len(body), body) + head)
        client.read_until(b"chat.completion")
        client.send(b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        answer = client.read_all()

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert len(upstream.requests) == before + 2


@pytest.mark.row(10)
@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"0\r\n", b"1;x="], ids=["trailer", "trailers", "extension"])
def test_trailers_and_extensions_without_end_are_refused_and_leave_no_memory_behind(
    gate: GateProcess, key: str, endless: bytes
) -> None:
    piece = b"a: b\r\n" * 10_000 if endless == b"0\r\n" else b"a" * 60_000
    before = resident(gate.process.pid)
    with RawClient(gate.port) as client:
        client.send(CHUNKED.replace(b"host: x", b"host: x\r\nauthorization: Bearer %b" % key.encode()) + endless)
        with contextlib.suppress(OSError):
            for _ in range(200):
                client.send(piece)
        assert refusal(client.read_all())[0] in (400, 431)

    assert resident(gate.process.pid) - before < 4 * 1024 * 1024


@pytest.mark.row(1)
def test_what_comes_after_a_body_is_no_header(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    body = json.dumps(ASK).encode()
    with RawClient(gate.port) as client:
        client.send(CHUNKED.replace(b"host: x", b"host: x\r\nauthorization: Bearer %b" % key.encode()))
        client.send(b"%x\r\n%b\r\n0\r\nx-trailer: 1\r\nauthorization: Bearer other\r\n\r\n" % (len(body), body))
        client.read_until(b"chat.completion")

    assert "x-trailer" not in upstream.requests[-1].headers
