"""Streams through the real door: what arrives, when it arrives, and how a bad end looks."""

import json
import threading
import time

import pytest

from kit.gate import GateProcess
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

ASK = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    without = b"".join(chat_events(["Hel", "lo"], None))
    upstream.script = event_stream(b"".join(chat_events(["Hel", "lo"], usage_of(7, 2))))

    status, headers, received = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert status == 200
    assert received == without
    assert upstream.requests[-1].json()["stream_options"] == {"include_usage": True}
    event = gate.event(headers["x-request-id"])
    assert (event["input_tokens"], event["output_tokens"], event["quality"]) == (7, 2, "reported")
    assert headers["content-type"] == "text/event-stream; charset=utf-8"


def test_a_client_that_asks_for_usage_gets_it_and_its_request_is_not_touched(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    stream = b"".join(chat_events(["Hi"], usage_of(7, 1)))
    upstream.script = event_stream(stream)
    sent = json.dumps({**ASK, "stream_options": {"include_usage": True, "x": 1.50}, "unknown": None}).encode()

    _, _, received = gate.call("POST", "/v1/chat/completions", key, sent)

    assert received == stream
    assert upstream.requests[-1].body == sent


def test_events_are_forwarded_as_they_come_and_headers_with_the_first(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    events = chat_events(["one", "two"], usage_of(1, 2))
    step = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        for event in events[:2]:
            step.wait(30)
            step.clear()
            connection.chunk(event)
        step.wait(30)
        connection.chunk(b"".join(events[2:]))
        connection.end()

    upstream.script = script
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK)
        client.sock.settimeout(0.3)
        try:
            early = client.sock.recv(1)
        except TimeoutError:
            early = b""
        client.sock.settimeout(30)

        assert early == b""
        step.set()
        assert client.read_until(b'"one"').startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"two"' not in client.received
        step.set()
        client.read_until(b'"two"')
        step.set()
        client.read_until(b"0\r\n\r\n")


def test_a_failure_before_the_first_event_is_an_ordinary_error(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(b": waiting\n\n")

    upstream.script = script

    status, _, body = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert status == 502
    assert json.loads(body)["error"]["code"] == "upstream_cut"


def _broken(gate: GateProcess, key: str) -> tuple[bytes, bool, str]:
    """Body, whether its terminating chunk came, and the request's id."""
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, ASK)
        answer = client.read_all()
    body, ended = body_of(answer)
    return body, ended, answer.partition(b"x-request-id: ")[2][:32].decode()


def _error_of(body: bytes) -> str:
    last = body.rstrip(b"\n").rpartition(b"data: ")[2]
    code: str = json.loads(last)["error"]["code"]
    return code


def test_a_cut_stream_ends_in_an_error_event_and_an_aborted_connection(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    events = chat_events(["one", "two"], usage_of(1, 2))

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(events[0] + events[1][:20])
        connection.reset()

    upstream.script = script

    body, ended, request_id = _broken(gate, key)

    assert not ended
    assert body.startswith(events[0].replace(b',"usage":null', b""))
    assert body.replace(events[0].replace(b',"usage":null', b""), b"").startswith(b'data: {"error"')
    assert _error_of(body) == "upstream_cut"
    event = gate.event(request_id)
    assert (event["outcome"], event["quality"]) == ("upstream_cut", "counted")
    assert event["output_tokens"] == 1


def test_a_clean_end_without_the_dialects_end_is_a_cut(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = event_stream(b"".join(chat_events(["one", "two"], None, finish=False)))

    body, ended, _ = _broken(gate, key)

    assert not ended
    assert _error_of(body) == "upstream_cut"


@pytest.mark.row(29)
def test_a_stalled_stream_is_an_error_after_the_idle_time(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    events = chat_events(["one", "two"], None)

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(events[0])
        connection.wait_for_peer_to_close(30)

    upstream.script = script
    began = time.monotonic()

    body, ended, _ = _broken(gate, key)

    assert not ended
    assert _error_of(body) == "upstream_stalled"
    assert 3.5 < time.monotonic() - began < 20


def test_a_garbled_stream_is_an_error_and_the_garbage_does_not_arrive(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    events = chat_events(["one"], None)

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(events[0])
        time.sleep(0.1)
        connection.chunk(b'data: {"choices":[{"ind\n\n' + b"".join(events[1:]))
        connection.end()

    upstream.script = script

    body, ended, _ = _broken(gate, key)

    assert not ended
    assert _error_of(body) == "upstream_garbled"
    assert b'"ind\n' not in body


def test_a_stream_of_nothing_but_its_end_is_an_error(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = event_stream(b"data: [DONE]\n\n")

    status, headers, received = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert (status, json.loads(received)["error"]["code"]) == (502, "upstream_bad_answer")
    assert gate.event(headers["x-request-id"])["cost_usd"] == "0"


@pytest.mark.parametrize("usage", [False, True])
def test_a_whole_answer_in_place_of_a_stream_is_given_as_the_stream_that_was_asked_for(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, usage: bool
) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!", 9, 2))

    status, headers, received = gate.call(
        "POST", "/v1/chat/completions", key, {**ASK, "stream_options": {"include_usage": usage}}
    )

    assert (status, headers["content-type"]) == (200, "text/event-stream")
    *events, done = received.decode().strip().split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert done == "data: [DONE]"
    assert "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"]) == "Hello!"
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"]][-1] == "stop"
    assert [bool(chunk.get("usage")) for chunk in chunks] == [False] * (len(chunks) - 1) + [usage]
    event = gate.event(headers["x-request-id"])
    assert (event["outcome"], event["input_tokens"], event["output_tokens"]) == ("ok", 9, 2)


def test_what_is_no_answer_of_the_dialect_is_passed_as_it_came_though_a_stream_was_asked_for(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, {"object": "odd", "usage": usage_of(3, 1)})

    status, headers, received = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(received)["object"] == "odd"


def test_the_answer_ends_at_done_though_the_provider_keeps_its_connection_open(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    stream = b"".join(chat_events(["one"], None))

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(stream)
        connection.wait_for_peer_to_close(30)

    upstream.script = script
    began = time.monotonic()

    _, _, received = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert received == stream
    assert time.monotonic() - began < 3.5, "silence is given up on after four seconds"


def test_an_error_event_from_the_provider_passes_and_is_recorded(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    stream = b'data: {"error":{"message":"overloaded","type":"server_error","param":null,"code":"overloaded"}}\n\n'
    upstream.script = event_stream(chat_events(["one"], None)[0] + stream)

    _, headers, received = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert received.endswith(stream)
    event = gate.event(headers["x-request-id"])
    assert (event["outcome"], event["error_code"]) == ("error", "overloaded")


def test_a_long_event_streams_through_and_its_usage_is_read(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    image = b"A" * 3_000_000
    event = (
        b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"' + image + b'",'
        b'"usage":{"input_tokens":11,"output_tokens":4160,"total_tokens":4171}}\n\n'
    )
    upstream.script = event_stream(event, cut=60_000)

    _, headers, received = gate.call("POST", "/v1/images/generations", key, {"model": "gpt-4o-mini", "stream": True})

    assert received == event
    assert gate.event(headers["x-request-id"])["output_tokens"] == 4160


def test_the_model_asked_for_becomes_the_targets_and_nothing_else_changes(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer())
    sent = b'{ "model" : "alias", "n": 1e0, "seed": 12345678901234567890, "x": {"model": "alias"}, "y": null }'

    status, headers, body = gate.call("POST", "/chat/completions", key, sent)

    assert status == 200
    assert upstream.requests[-1].body == sent.replace(b'"model" : "alias"', b'"model" : "real-name"')
    assert json.loads(body)["model"] == "gpt-4o-mini-2024-07-18"
    assert headers["x-tollkeeper-model"] == "up/real-name"
    assert headers["x-tollkeeper-cost"] == "0.000015"
