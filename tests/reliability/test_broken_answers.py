"""Answers that break off, are none, or are too much: an error that cannot be taken for an answer, and no harm done."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.outbound import answered, raw
from kit.raw import RawClient, body_of
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    usage_of,
)
from kit.vitals import resident

ASK = {"model": "m", "messages": []}
STREAM = {**ASK, "stream": True}
MEGABYTE = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
WELL = answered(json.dumps(chat_answer()).encode(), "content-type: application/json")
FIRST, SECOND, *REST = chat_events(["one ", "two "], usage_of(5, 2))


def _ask(gate: GateProcess, key: str, body: object = ASK) -> tuple[int, str]:
    """Status and error code."""
    status, _, said = gate.call("POST", "/v1/chat/completions", key, body)
    return status, json.loads(said)["error"]["code"]


def _works(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> bool:
    """Whether the next call is answered, and nothing of the last one is in it."""
    upstream.script = raw(WELL)
    status, _, said = gate.call("POST", "/v1/chat/completions", key, ASK)
    return status == 200 and json.loads(said) == chat_answer()


@pytest.mark.row(25)
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    ("sent", "asked", "code"),
    [
        (b"", ASK, ("upstream_closed", "upstream_reset")),
        (b"HTTP/1.1 200 OK\r\nconte", ASK, ("upstream_closed", "upstream_reset")),
        (HEAD + b"content-length: 100\r\n\r\n", ASK, ("upstream_cut",)),
        (HEAD + b'content-length: 100\r\n\r\n{"choices"', ASK, ("upstream_cut",)),
        (HEAD + b'transfer-encoding: chunked\r\n\r\n5\r\n{"ch', ASK, ("upstream_cut",)),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", ASK, ("upstream_cut",)),
        (b"", STREAM, ("upstream_closed", "upstream_reset")),
        (SSE_HEAD, STREAM, ("upstream_cut",)),
        (SSE_HEAD + b"400\r\n" + FIRST[:50], STREAM, ("upstream_cut",)),
    ],
    ids=[
        "nothing",
        "in headers",
        "headers",
        "in length",
        "in chunk",
        "after chunk",
        "nothing-s",
        "headers-s",
        "event-s",
    ],
)
def test_what_breaks_off_before_the_client_got_anything_is_an_ordinary_error(
    gate: GateProcess,
    upstream: ScriptedUpstream,
    key: str,
    sent: bytes,
    then: str,
    asked: object,
    code: tuple[str, ...],
) -> None:
    upstream.script = raw(sent, then)

    status, found = _ask(gate, key, asked)

    assert status == 502
    assert found in code
    assert _works(gate, upstream, key)


@pytest.mark.row(25)
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("cut", [b"", b"%x\r\n" % len(SECOND), b"%x\r\n" % len(SECOND) + SECOND[:40]])
def test_a_stream_that_breaks_off_ends_in_an_error_event_and_never_properly(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, then: str, cut: bytes
) -> None:
    upstream.script = raw(SSE_HEAD + b"%x\r\n%b\r\n" % (len(FIRST), FIRST) + cut, then)
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, STREAM)
        answer = client.read_all()
    body, ended = body_of(answer)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not ended
    first, last = body.removesuffix(b"\n\n").split(b"\n\n")
    assert b"one " in first
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_cut"
    event = gate.event(answer.partition(b"x-request-id: ")[2][:32].decode())
    assert (event["outcome"], event["quality"], event["output_tokens"]) == ("upstream_cut", "counted", 2)


@pytest.mark.row(25)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_answer_too_long_to_be_read_first_that_breaks_off_never_ends_properly(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, framing: str
) -> None:
    start = b'{"choices":[],"x":"' + b"a" * 6 * MEGABYTE
    if framing == "length":
        sent = HEAD + b"content-length: %d\r\n\r\n" % (len(start) + 100) + start
    else:
        sent = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(start), start)
    upstream.script = raw(sent, "close")
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK)
        body, ended = body_of(client.read_all())

    assert not ended
    assert len(body) <= len(start)
    assert gate.events_once(1)[0]["outcome"] == "upstream_cut"


def _html(request: Request, connection: Connection) -> bool:
    return connection.send(answered(b"<html>busy</html>", "content-type: text/html"))


BAD_ANSWERS: dict[str, Callable[[Request, Connection], "bool | None"]] = {
    "html": _html,
    "empty": raw(answered(b"", "content-type: application/json")),
    "nothing at all": raw(answered(b"")),
    "cut json": raw(answered(b'{"choices":[', "content-type: application/json")),
    "zeros": raw(answered(b"\0" * 100, "content-type: application/json")),
    "deep": raw(answered(b"[" * 100_000, "content-type: application/json")),
    "no type": raw(answered(json.dumps(chat_answer()).encode())),
    "text": raw(answered(json.dumps(chat_answer()).encode(), "content-type: text/plain")),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "array": raw(answered(b"[]", "content-type: application/json")),
    "string": raw(answered(b'"busy"', "content-type: application/json")),
    "null": raw(answered(b"null", "content-type: application/json")),
    "gzip": raw(answered(gzip.compress(b"{}"), "content-type: application/json", "content-encoding: gzip")),
    "unasked stream": event_stream(b"".join(chat_events(["one"], None))),
}


@pytest.mark.row(26)
@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_200_that_is_no_answer_is_an_error(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, name: str
) -> None:
    upstream.script = BAD_ANSWERS[name]

    status, headers, said = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert (status, json.loads(said)["error"]["code"]) == (502, "upstream_bad_answer")
    event = gate.event(headers["x-request-id"])
    assert (event["outcome"], event["output_tokens"], event["cost_usd"]) == ("upstream_error", 0, "0")
    assert _works(gate, upstream, key)


@pytest.mark.row(26)
@pytest.mark.parametrize(
    "script",
    [
        _html,
        raw(SSE_HEAD + b"0\r\n\r\n"),
        event_stream(b": nothing\n\n"),
        event_stream(b"data: <html>\n\n"),
        event_stream(b"data: {\n\n"),
        event_stream(b"data: []\n\n"),
        raw(answered(b"".join(chat_events(["one"], None)), "content-type: text/plain")),
    ],
    ids=["html", "empty", "comment", "html event", "half", "array", "text"],
)
def test_a_stream_that_is_none_is_an_error(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, script: Callable[[Request, Connection], "bool | None"]
) -> None:
    upstream.script = script

    status, code = _ask(gate, key, STREAM)

    assert (status, code) in [(502, "upstream_bad_answer"), (502, "upstream_cut")]
    assert _works(gate, upstream, key)


@pytest.mark.row(37)
@pytest.mark.parametrize("asked", [ASK, STREAM], ids=["whole", "stream"])
def test_a_compressed_answer_is_not_unpacked(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, asked: object
) -> None:
    bomb = gzip.compress(bytes(32 * MEGABYTE), 9)
    kind = "text/event-stream" if asked is STREAM else "application/json"
    upstream.script = raw(answered(bomb, f"content-type: {kind}", "content-encoding: gzip"))
    before = resident(gate.process.pid)

    assert _ask(gate, key, asked) == (502, "upstream_bad_answer")
    assert upstream.requests[-1].headers["accept-encoding"] == "identity"
    assert resident(gate.process.pid) - before < 8 * MEGABYTE


def _endless(size: int) -> Callable[[Request, Connection], bool]:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(HEAD + b'content-length: %d\r\n\r\n{"x":"' % size)
        piece = b"a" * MEGABYTE
        left = size - 6
        while left > 0 and connection.send(piece[:left]):
            left -= MEGABYTE
        return left <= 0

    return script


@pytest.mark.row(37)
@pytest.mark.parametrize("size", [200 * MEGABYTE, pytest.param(5 * 1024 * MEGABYTE, marks=pytest.mark.long)])
def test_an_answer_of_any_size_passes_through_without_being_kept(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, size: int
) -> None:
    upstream.script = _endless(size)
    before, received = resident(gate.process.pid), 0
    with RawClient(gate.port, timeout=30) as client:
        client.post("/v1/chat/completions", key, ASK)
        while received < size:
            data = client.sock.recv(MEGABYTE)
            assert data
            received += len(data)

    assert (
        resident(gate.process.pid) - before < 24 * MEGABYTE
    )  # its first 4 MB ([relay] read_whole), in pieces, whole, and sent


@pytest.mark.row(37)
@pytest.mark.parametrize(
    "sent", [b"a: b\r\n" * 200_000, b"a: " + b"b" * MEGABYTE, b"x" * MEGABYTE], ids=["lines", "line", "name"]
)
def test_headers_without_end_are_cut(gate: GateProcess, upstream: ScriptedUpstream, key: str, sent: bytes) -> None:
    upstream.script = raw(b"HTTP/1.1 200 OK\r\n" + sent, "silent")
    before = resident(gate.process.pid)

    assert _ask(gate, key) == (502, "upstream_headers_too_large")
    assert resident(gate.process.pid) - before < 4 * MEGABYTE


@pytest.mark.row(37)
@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"1;x="], ids=["trailer", "extension"])
def test_framing_without_end_is_cut(gate: GateProcess, upstream: ScriptedUpstream, key: str, endless: bytes) -> None:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n" + endless)
        for _ in range(400):
            if not connection.send(b"a" * 65536):
                break
        return False

    upstream.script = script
    before = resident(gate.process.pid)

    assert _ask(gate, key) == (502, "upstream_headers_too_large")
    assert resident(gate.process.pid) - before < 4 * MEGABYTE


@pytest.mark.row(39)
@pytest.mark.parametrize(
    "line",
    [
        b"x: a\rset-cookie: b",
        b"x: a\nset-cookie: b",
        b"x: a\x00b",
        b"x\n: a",
        b"x y: a",
        b": a",
        b"x: a\r\n b",
        b"x: \x01",
    ],
)
def test_an_answer_with_a_control_character_in_its_headers_is_refused(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, line: bytes
) -> None:
    upstream.script = raw(answered(b"{}", "content-type: application/json", line.decode("latin-1")))

    assert _ask(gate, key) == (502, "upstream_invalid_http")


@pytest.mark.long
@pytest.mark.row(25)
@pytest.mark.row(26)
@pytest.mark.parametrize("then", ["html", "stream"])
def test_calls_that_fail_leave_no_memory_behind(tmp_path: Path, upstream: ScriptedUpstream, then: str) -> None:
    scripts = {
        "html": _html,
        "stream": raw(SSE_HEAD + b"%x\r\n%b\r\n" % (len(FIRST), FIRST), "close"),
    }
    upstream.script = scripts[then]
    config = f'[providers.up]\nkind = "openai"\nbase_url = "{upstream.url}"\n[health]\nfailures = 9999\n'
    with running_gate(tmp_path, config + "[retry]\nbase = 0.001\n") as gate:
        key = gate.new_key()
        asked = {"model": "m", "stream": then == "stream", "messages": [], "unknown": "a" * MEGABYTE}
        sizes = []
        for _ in range(3):
            for _ in range(8):
                with RawClient(gate.port) as client:
                    client.post("/v1/chat/completions", key, asked, "connection: close")
                    client.read_all()
            sizes.append(resident(gate.process.pid))

    assert sizes[2] - sizes[1] < 4 * MEGABYTE
