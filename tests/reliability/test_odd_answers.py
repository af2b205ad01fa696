"""Answers that are right but odd: streams cut and written in every way, headers for one hop, times that cannot be."""

import json
import time
from pathlib import Path

import pytest

from kit.gate import GateProcess
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
    json_answer,
    usage_of,
)

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
EVENTS = chat_events(["Grüße ", "\u2028😀"], usage_of(7, 2))
LINE = b"".join(EVENTS)
SPLIT = EVENTS[0].replace(b'"choices":', b'\ndata: "choices":')
WAYS = {
    "LF": LINE,
    "CRLF": LINE.replace(b"\n", b"\r\n"),
    "CR": LINE.replace(b"\n", b"\r"),
    "mixed": EVENTS[0].replace(b"\n", b"\r\n") + EVENTS[1].replace(b"\n", b"\r") + b"".join(EVENTS[2:]),
    "several data lines": SPLIT + b"".join(EVENTS[1:]),
    "comments": b": hello\n\n" + b": more\n\n: still\n".join(EVENTS),
    "other fields": b"".join(b"event: message\nid: 1\nretry: 10\n" + event for event in EVENTS),
    "no space": LINE.replace(b"data: ", b"data:"),
    "no last blank line": LINE.removesuffix(b"\n"),
}


def _stream(gate: GateProcess, key: str, asked: object = STREAM) -> tuple[bytes, dict[str, object]]:
    """The body of a stream that ended well, and its event."""
    status, headers, received = gate.call("POST", "/v1/chat/completions", key, asked)
    assert status == 200, received
    return received, gate.event(headers["x-request-id"])


@pytest.mark.row(27)
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_arrives_as_it_is_however_it_is_written_and_wherever_it_is_cut(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, way: str
) -> None:
    stream = WAYS[way]

    def script(request: Request, connection: Connection) -> bool:
        """In two pieces, cut where the request says."""
        at = int(request.json()["seed"])
        pieces = (stream[:at], stream[at:])
        connection.send(SSE_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece))
        return connection.end()

    upstream.script = script
    with RawClient(gate.port) as client:
        for at in range(0, len(stream) + 1, 31):
            client.received = b""
            client.post("/v1/chat/completions", key, {**STREAM, "seed": at})
            client.read_until(b"\r\n0\r\n\r\n")

            assert body_of(client.received) == (stream, True), at


@pytest.mark.row(27)
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_comes_byte_by_byte_arrives_as_it_is_and_is_charged(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, way: str
) -> None:
    upstream.script = event_stream(WAYS[way], cut=1)

    received, event = _stream(gate, key)

    assert received == WAYS[way]
    assert (event["input_tokens"], event["output_tokens"], event["quality"]) == (7, 2, "reported")


@pytest.mark.row(27)
@pytest.mark.parametrize("asked", [STREAM, {**ASK, "stream": True}], ids=["as it is", "usage hidden"])
def test_an_event_of_a_megabyte_arrives_whole(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, asked: object
) -> None:
    big = chat_events(["x" * 1_000_000], None)[0]
    upstream.script = event_stream(big + LINE, cut=1000)

    received, event = _stream(gate, key, asked)

    assert received.startswith(big)
    assert received.endswith(b"data: [DONE]\n\n")
    assert event["output_tokens"] == 2


@pytest.mark.row(28)
def test_a_stream_that_ends_without_done_but_after_its_last_word_has_ended(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(b"".join(EVENTS[:-1]))

    received, event = _stream(gate, key)

    assert received == b"".join(EVENTS[:-1])
    assert (event["outcome"], event["quality"]) == ("ok", "reported")


@pytest.mark.row(28)
def test_a_stream_that_ends_without_a_last_word_ends_in_an_error_and_is_counted(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(b"".join(EVENTS[:2]))
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, STREAM)
        answer = client.read_all()
    body, ended = body_of(answer)

    assert not ended
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_cut"
    event = gate.event(answer.partition(b"x-request-id: ")[2][:32].decode())
    assert (event["outcome"], event["quality"]) == ("upstream_cut", "counted")
    assert event["output_tokens"] > 0


@pytest.mark.row(28)
@pytest.mark.parametrize("torn", [EVENTS[1][:-2], EVENTS[1][:-1], b"dat", b": a comment", b"\n"])
def test_an_error_event_is_one_of_its_own_whatever_the_stream_ended_on(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, torn: bytes
) -> None:
    upstream.script = event_stream(EVENTS[0] + torn)
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, STREAM)
        body, ended = body_of(client.read_all())

    assert not ended
    assert body.startswith(EVENTS[0] + torn)
    *_, error, nothing = body.split(b"\n\n")
    assert nothing == b""
    assert json.loads(error.lstrip(b"\n").removeprefix(b"data: "))["error"]["code"] == "upstream_cut"


@pytest.mark.row(28)
def test_an_error_event_in_the_midst_passes_and_what_came_before_is_counted(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    broken = b'data: {"error":{"message":"overloaded","type":"server_error","param":null,"code":"overloaded"}}\n\n'
    upstream.script = event_stream(EVENTS[0] + broken)

    received, event = _stream(gate, key)

    assert received == EVENTS[0] + broken
    assert (event["outcome"], event["error_code"], event["quality"]) == ("error", "overloaded", "counted")


@pytest.mark.row(28)
@pytest.mark.parametrize("usage", [None, "null", "garbage"])
def test_where_no_usage_comes_tokens_are_counted_and_the_event_says_so(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, usage: str | None
) -> None:
    stream = b"".join(chat_events(["Hello", " world"], None, null_usage=usage == "null"))
    if usage == "garbage":
        stream = stream.replace(b'"choices":', b'"usage":{"prompt_tokens":"many","completion_tokens":-5},"choices":')
    upstream.script = event_stream(stream)

    _, event = _stream(gate, key)

    assert (event["outcome"], event["quality"], event["output_tokens"]) == ("ok", "counted", 2)


@pytest.mark.row(30)
@pytest.mark.parametrize(
    "header",
    [
        "retry-after: 1",
        "retry-after: Fri, 31 Dec 1999 23:59:59 GMT",
        "retry-after: Fri, 31 Dec 9999 23:59:59 GMT",
        "retry-after-ms: 20",
        "retry-after: soon",
        "retry-after: -1",
        "retry-after: 1e9",
        "retry-after: 1000000000",
        "retry-after: nan",
        "retry-after: inf",
        "retry-after: \xff",
        "retry-after-ms: 99999999999999999999999999",
    ],
)
def test_a_429_is_passed_on_at_once_whatever_it_says_of_when_to_come_back(
    tmp_path: Path, gate: GateProcess, upstream: ScriptedUpstream, key: str, header: str
) -> None:
    """How targets cool down and when they are asked again is tested in tests/flow/test_failover.py."""
    error = json.dumps({"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit"}})
    upstream.script = raw(
        answered(error.encode(), "content-type: application/json", header, status="429 Too Many Requests")
    )
    began = time.monotonic()

    status, headers, body = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert (status, body.decode()) == (429, error)
    assert time.monotonic() - began < 25
    assert "internal_error" not in gate.log()
    assert gate.event(headers["x-request-id"])["error_code"] == "upstream_429"


@pytest.mark.row(38)
def test_headers_for_the_way_to_us_and_about_our_account_stay_with_us(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    lines = [
        "connection: keep-alive, x-secret-hop",
        "x-secret-hop: 1",
        "keep-alive: timeout=5",
        "proxy-connection: keep-alive",
        "proxy-authenticate: Basic",
        "set-cookie: session=1",
        "te: trailers",
        "trailer: x",
        "upgrade: h2c",
        "server: theirs",
        "x-tollkeeper-cost: 0",
        "x-kept: yes",
    ]
    upstream.script = json_answer(200, chat_answer(), *lines)

    status, headers, _ = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert status == 200
    assert headers["x-kept"] == "yes"
    names = {line.partition(":")[0] for line in lines} - {"x-kept", "x-tollkeeper-cost", "connection"}
    assert not names & set(headers)
    assert headers["x-tollkeeper-cost"] != "0"
    assert "x-secret-hop" not in headers.get("connection", "")


@pytest.mark.row(38)
def test_what_a_client_sends_for_the_way_to_us_goes_no_further(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer())
    hop = [
        "connection: x-secret-hop, close",
        "x-secret-hop: 1",
        "proxy-authorization: Basic x",
        "te: trailers",
        "x-kept: yes",
    ]
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK, *hop)
        client.read_all()

    sent = upstream.requests[-1].headers
    assert sent["x-kept"] == "yes"
    assert not {"connection", "x-secret-hop", "proxy-authorization", "te"} & set(sent)


@pytest.mark.row(38)
@pytest.mark.parametrize(
    "lines", [["content-length: 2", "content-length: 3"], ["content-length: 2", "transfer-encoding: chunked"]]
)
def test_an_answer_with_two_lengths_is_refused(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, lines: list[str]
) -> None:
    head = "\r\n".join(["HTTP/1.1 200 OK", "content-type: application/json", *lines])
    upstream.script = raw(head.encode() + b"\r\n\r\n{}1\r\n\r\n0\r\n\r\n")

    status, _, body = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_invalid_http")


@pytest.mark.row(40)
@pytest.mark.parametrize(
    "line",
    [
        "date: Thu, 01 Jan 1970 00:00:00 GMT",
        "date: Fri, 31 Dec 9999 23:59:59 GMT",
        "date: yesterday",
        "x-ratelimit-reset-requests: -5s",
        "x-ratelimit-reset-tokens: 99999999h",
        "x-ratelimit-reset: 253402300799",
        "anthropic-ratelimit-tokens-reset: 9999-12-31T23:59:59Z",
        "anthropic-ratelimit-requests-reset: 1970-01-01T00:00:00Z",
        "x-ratelimit-remaining-requests: -1",
    ],
)
def test_a_providers_clock_moves_nothing_of_ours(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, line: str
) -> None:
    upstream.script = json_answer(200, chat_answer(), line)
    before = time.time() * 1000

    status, headers, _ = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert status == 200
    assert before - 1000 < gate.event(headers["x-request-id"])["started_at"] < before + 10_000
    upstream.script = json_answer(200, chat_answer())
    assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200


@pytest.mark.row(41)
@pytest.mark.parametrize("idle", [0.02, 0.3])
def test_a_connection_that_the_provider_closed_meanwhile_is_not_noticed_by_the_caller(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, idle: float
) -> None:
    """The config allows no retry: the request was never sent on the closed connection."""

    def answer_and_close(request: Request, connection: Connection) -> bool:
        json_answer(200, chat_answer())(request, connection)
        return False

    upstream.script = answer_and_close
    before = upstream.connections
    for _ in range(6):
        assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
        time.sleep(idle)

    assert upstream.connections >= before + 5  # the first may have gone to one that was open
