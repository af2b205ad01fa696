"""Requests that two parsers could read differently, where smuggling lives: refused, closed, nothing forwarded."""

import json

import pytest

from kit.gate import GateProcess
from kit.malformed import CHUNKED, MALFORMED, POST
from kit.raw import RawClient, refusal
from kit.scripted import ScriptedUpstream

ASK = {"model": "m", "messages": []}
REFUSED = [
    pytest.param(sent, id=f"row{row}-{number}", marks=pytest.mark.row(row))
    for row, requests in MALFORMED.items()
    for number, sent in enumerate(requests)
]


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
