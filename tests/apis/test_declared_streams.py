"""Streamed and structured answers of declared APIs through the real door."""

import json
import threading
import time
from typing import Any

import pytest

from kit.gate import GateProcess
from kit.raw import RawClient
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

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def sent(upstream: ScriptedUpstream) -> Any:
    return upstream.requests[-1].json()


def events_of(body: bytes) -> list[Any]:
    """The values of a stream's events."""
    datas = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def stream_of(*words: str) -> bytes:
    return b"".join(chat_events(list(words), usage_of(9, len(words))))


# --- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["field", "header"])
def test_a_streamed_answer_comes_in_pieces_with_what_stands_around_the_text(
    how: str, gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(stream_of("Hel", 'l"o\n', "\u65e5"))
    body: dict[str, Any] = {"topic": "cats", **({"stream": True} if how == "field" else {})}
    accept = {"accept": "text/event-stream"} if how == "header" else {}

    status, headers, answer = gate.call("POST", "/v2/guide", key, body, **accept)

    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert events_of(answer) == ["CATS: ", "Hel", 'l"o\n', "\u65e5", "!", "[DONE]"]
    assert sent(upstream)["stream"] is True
    event = gate.event(headers["x-request-id"])
    assert (event["output_tokens"], event["streamed"], event["quality"]) == (3, True, "reported")


def test_pieces_are_forwarded_as_they_come(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(1, 2))
    seen = threading.Event()

    def script(request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        seen.wait(20)
        return connection.chunk(b"".join(rest)) and connection.end()

    upstream.script = script
    with RawClient(gate.port) as client:
        client.post("/hogehoge", key, {**HELLO, "stream": True})
        client.read_until(b'data: "one"')
        seen.set()
        received = client.read_until(b"[DONE]")

    assert b'data: "Answer: "' in received
    assert b'data: "two"' in received


def test_a_template_that_needs_the_whole_text_is_one_piece(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(stream_of("he", "llo"))

    _, _, answer = gate.call("POST", "/shout", key, {"text": "x", "stream": True})

    assert events_of(answer) == ["HELLO", "[DONE]"]


def test_an_upstream_that_does_not_stream_is_a_stream_all_the_same(gate: GateProcess, key: str) -> None:
    _, headers, answer = gate.call("POST", "/hogehoge", key, {**HELLO, "stream": True})

    assert headers["content-type"].startswith("text/event-stream")
    assert events_of(answer) == ["Answer: ", "Hi", "[DONE]"]


def test_a_stream_that_is_cut_is_an_error_event_and_never_a_clean_end(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    def cut(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one"], None)[0])
        connection.reset()

    upstream.script = cut
    with RawClient(gate.port) as client:
        client.post("/hogehoge", key, {**HELLO, "stream": True})
        received = client.read_all()

    head, _, body = received.partition(b"\r\n\r\n")
    assert b'"one"' in body
    assert b'data: {"error":{"message"' in body
    assert b"upstream_cut" in body
    assert body.count(b'"error"') == 1
    assert b"[DONE]" not in body
    assert not body.endswith(b"0\r\n\r\n")
    request_id = next(line for line in head.decode().split("\r\n") if line.startswith("x-request-id")).split(": ")[1]
    assert gate.event(request_id)["outcome"] == "upstream_cut"
    assert gate.log().count(f'"api":"hogehoge","request_id":"{request_id}"') == 1


def test_a_providers_own_error_in_its_stream_ends_the_answer_badly(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    failed = b'data: {"error":{"message":"overloaded","type":"server_error","code":"busy"}}\n\ndata: [DONE]\n\n'
    upstream.script = event_stream(chat_events(["one"], None)[0] + failed)
    with RawClient(gate.port) as client:
        client.post("/hogehoge", key, {**HELLO, "stream": True})
        received = client.read_all()

    assert b'"overloaded"' in received
    assert b"[DONE]" not in received


def test_a_client_that_leaves_midway_is_charged_once(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(5, 2))

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        left.wait(20)
        for event in rest:
            connection.chunk(event)
        connection.end()

    left = threading.Event()
    upstream.script = script
    with RawClient(gate.port) as client:
        client.post("/hogehoge", key, {**HELLO, "stream": True})
        received = client.read_until(b'"one"')
    until = time.monotonic() + 20
    while b"tollkeeper_draining 1.0" not in gate.operator("GET", "/metrics")[2] and time.monotonic() < until:
        time.sleep(0.02)
    left.set()
    request_id = received.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()

    event = gate.event(request_id)
    assert (event["outcome"], event["output_tokens"], event["quality"]) == ("client_left", 2, "reported")


# --- structured answers ---------------------------------------------------------------------------------------------


def test_an_answer_that_follows_the_schema_is_passed_on_as_the_object_that_it_is(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer('{"name": "Ada", "age": 36}'))

    status, _, answer = gate.call("POST", "/person", key, {"name": "Ada"})

    assert (status, json.loads(answer)) == (200, {"name": "Ada", "age": 36})
    asked = sent(upstream)["response_format"]
    assert asked["type"] == "json_schema"
    assert (asked["json_schema"]["name"], asked["json_schema"]["strict"]) == ("person", True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [('{"name": "Ada"}', "'age'"), ("Ada is 36", "not JSON"), ('{"name": "Ada", "age": "x"}', "age")],
)
def test_an_answer_that_does_not_is_the_gates_error_and_charged(
    said: str, reason: str, gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, chat_answer(said))

    status, headers, answer = gate.call("POST", "/person", key, {"name": "Ada"})

    error = json.loads(answer)["error"]
    assert (status, error["code"]) == (502, "model_bad_output")
    assert reason in error["message"]
    assert gate.event(headers["x-request-id"])["outcome"] == "ok"


def test_a_streamed_answer_that_does_not_follow_the_schema_ends_badly(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = event_stream(stream_of('{"name":', '"Ada"}'))
    with RawClient(gate.port) as client:
        client.post("/person", key, {"name": "Ada", "stream": True})
        received = client.read_all()

    assert b"model_bad_output" in received
    assert b"[DONE]" not in received


def test_an_answers_template_with_a_missing_field_is_the_gates_error(gate: GateProcess, key: str) -> None:
    status, _, answer = gate.call("POST", "/fragile", key, {"x": 1})

    error = json.loads(answer)["error"]
    assert (status, error["code"], error["type"]) == (500, "template_failed", "server_error")
