"""Requests that two parsers could read differently, where smuggling lives: refused, closed, nothing forwarded."""

import json

import pytest

from kit.gate import GateProcess
from kit.raw import RawClient, refusal
from kit.scripted import ScriptedUpstream

ASK = {"model": "m", "messages": []}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def _framed(row: int, *requests: bytes) -> list[object]:
    return [
        pytest.param(sent, id=f"row{row}-{number}", marks=pytest.mark.row(row)) for number, sent in enumerate(requests)
    ]


def _valued(name: bytes, *values: bytes) -> list[bytes]:
    return [POST + name + b": " + value + b"\r\n\r\nhello" for value in values]


MALFORMED = [
    *_framed(
        1,
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ),
    *_framed(
        2,
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        *_valued(b"content-length", b"+5", b"0x5", b"5_0", b"", b"-5", b"5, 5", b"5,6", b"5 5", b"\xb2", b"9" * 30),
    ),
    *_framed(
        3,
        *(
            CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n"
            for size in (b"0x1", b"+1", b"-1", b"1_0", b"", b"1" * 20, b"5 5", b" 5", b"g")
        ),
    ),
    *_framed(
        4,
        POST + b"a: b\nc: d\r\n\r\n",
        POST + b"a: b\rc: d\r\n\r\n",
        POST + b"a: b\r\n\n",
        POST.replace(b"\r\n", b"\n") + b"\n",
        POST + b"a: \x00\r\n\r\n",
        POST + b"a\x00: b\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\rhello\r\n0\r\n\r\n",
        CHUNKED + b"5;x=\x00\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    ),
    *_framed(
        5,
        *(
            POST + b"transfer-encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
            for coding in (b",chunked", b"chunked,", b"chunked, chunked", b"gzip, chunked", b"gzip", b"xchunked", b"")
        ),
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    *_framed(
        6,
        POST + b"a : b\r\n\r\n",
        POST + b": b\r\n\r\n",
        POST + b"a: b\r\n c\r\n\r\n",
        POST + b"a: b\r\n\tc\r\n\r\n",
        POST + b" a: b\r\n\r\n",
        *(POST + b"a" + byte + b"b: c\r\n\r\n" for byte in (b" ", b"(", b"@", b"\x7f", b"\xff", b'"', b"/")),
        POST + b"no colon\r\n\r\n",
    ),
    *_framed(
        7,
        CHUNKED + b"5\r\nhelloXX0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\r0\r\n\r\n",
        CHUNKED + b"5\r\nhello\n\n0\r\n\r\n",
    ),
]


@pytest.mark.parametrize("sent", MALFORMED)
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
