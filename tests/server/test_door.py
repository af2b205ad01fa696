"""The door: caps, deadlines, framing, methods, and every refusal in the caller's envelope."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer, usage_of
from kit.servers import listens
from kit.vitals import becomes

CONFIG = """
[server.limits]
url = 500
headers = 4000
header_count = 30
body = 3000000
json_body = 100000
json_values = 20000
header_seconds = 1
body_seconds = 1
idle_seconds = 2
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


def _refusal(answer: bytes) -> tuple[int, str]:
    """Status and error code of a raw answer in OpenAI's envelope."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return int(head.split(b" ")[1]), error["code"]


BASE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414, "url_too_long"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbig: " + b"a" * 5000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 40 + b"\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nendless: " + b"a" * 9000, 431, "headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "invalid_http"),
        (BASE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400, "invalid_http"),
        (BASE + b"content-length: 5\r\ncontent-length: 6\r\n\r\n", 400, "invalid_http"),
        (BASE + b"content-length: +5\r\n\r\nhello", 400, "invalid_http"),
        (BASE + b"content-length: -5\r\n\r\nhello", 400, "invalid_http"),
        (BASE + b"transfer-encoding: gzip, chunked\r\n\r\n", 501, "invalid_http"),
        (BASE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", 400, "invalid_http"),
        (BASE + b"transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400, "invalid_http"),
        (BASE + b"transfer-encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad name: x\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nspace : x\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nfolded: a\r\n b\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nnul: a\x00b\r\n\r\n", 400, "invalid_http"),
    ],
)
def test_what_is_not_fit_to_be_a_request_is_refused_and_the_connection_closed(
    gate: GateProcess, upstream: ScriptedUpstream, sent: bytes, status: int, code: str
) -> None:
    before = len(upstream.requests)
    with RawClient(gate.port) as client:
        client.send(sent)

        assert _refusal(client.read_all()) == (status, code)
    assert len(upstream.requests) == before


def test_headers_beyond_the_most_are_refused_behind_another_request_too(gate: GateProcess) -> None:
    first = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with RawClient(gate.port) as client:
        client.send(first + b"GET /healthz HTTP/1.1\r\nhost: x\r\nbig: " + b"a" * 5000 + b"\r\n\r\n")

        answers = client.read_all()

    assert answers.startswith(b"HTTP/1.1 200 ")
    assert _refusal(answers[answers.rindex(b"HTTP/1.1 431") :]) == (431, "headers_too_large")


@pytest.mark.row(13)
def test_headers_that_trickle_in_are_given_up_on(gate: GateProcess) -> None:
    with RawClient(gate.port) as client:
        client.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nslow: ")
        began = time.monotonic()
        for _ in range(100):
            try:
                client.send(b"a")
            except OSError:
                break
            time.sleep(0.2)

        assert _refusal(client.read_all()) == (408, "request_timeout")
        assert time.monotonic() - began < 15


@pytest.mark.row(14)
def test_a_body_that_does_not_come_is_given_up_on(gate: GateProcess, key: str) -> None:
    with RawClient(gate.port) as client:
        client.send(BASE + f"authorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{".encode())

        assert _refusal(client.read_all()) == (408, "request_timeout")


def test_an_idle_connection_is_closed_in_silence(gate: GateProcess) -> None:
    with RawClient(gate.port) as client:
        assert client.closes_within(30)
        assert client.received == b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_over_the_cap_is_refused(gate: GateProcess, key: str, framing: str) -> None:
    body = b'{"model":"x","a":"' + b"a" * 200_000 + b'"}'
    with RawClient(gate.port) as client:
        if framing == "length":
            client.send(BASE + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        else:
            client.send(BASE + f"authorization: Bearer {key}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        client.read_until(b"}}")

        assert _refusal(client.received) == (413, "request_too_large")


def test_keep_alive_carries_the_next_request_also_after_a_refusal(gate: GateProcess, key: str) -> None:
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, b"not json")
        client.read_until(b"invalid_json")
        client.received = b""
        client.post("/v1/chat/completions", key, {"model": "gpt-4o-mini", "messages": []})

        assert client.read_until(b"chat.completion").startswith(b"HTTP/1.1 200")


def test_a_valid_request_is_answered_before_an_invalid_one_behind_it_is_refused(gate: GateProcess, key: str) -> None:
    with RawClient(gate.port) as client:
        body = json.dumps({"model": "gpt-4o-mini", "messages": []}).encode()
        head = BASE + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        client.send(head + body + b"GARBAGE IN PIPELINE\r\n\r\n")
        answer = client.read_all()

        first, second = answer.index(b"HTTP/1.1 200"), answer.index(b"HTTP/1.1 400")
        assert first < second
        assert answer.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/chat/completions", 405, "method_not_allowed"),
        ("TRACE", "/v1/chat/completions", 405, "method_not_allowed"),
        ("GET", "/favicon.ico", 404, "not_found"),
        ("GET", "/v1/../admin", 404, "not_found"),
        ("GET", "/v1/%2e%2e/admin", 404, "not_found"),
        ("GET", "/v1//files", 404, "not_found"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
def test_methods_and_paths_that_are_not_there(
    gate: GateProcess, key: str, method: str, path: str, status: int, code: str
) -> None:
    with RawClient(gate.port) as client:
        client.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode())
        client.read_until(b"}}")

        assert _refusal(client.received) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"model":"gpt-4o-mini",}',
        b'\xef\xbb\xbf{"model":"gpt-4o-mini"}',
        b'{"model":"gpt-4o-mini","x":NaN}',
        b'{"model":"gpt-4o-mini","x":"\\ud800"}',
        b'{"model":"gpt-4o-mini","x":"\xff"}',
        b'{"model":"gpt-4o-mini","model":"other"}',
        b'{"model":"gpt-4o-mini","\\u006dodel":"other"}',
        b'{"model":"gpt-4o-mini","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_broken_json_is_refused_with_a_reason(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, body: bytes
) -> None:
    before = len(upstream.requests)

    status, headers, answer = gate.call("POST", "/v1/chat/completions", key, body)

    assert (status, json.loads(answer)["error"]["code"]) == (400, "invalid_json")
    assert "parse the JSON body" in json.loads(answer)["error"]["message"]
    assert len(headers["x-request-id"]) == 32
    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "model"),
        ({"model": 5}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": "gpt-4o-mini", "stream": "yes"}, "stream"),
        ({"model": "gpt-4o-mini", "stream": True, "stream_options": 1}, "stream_options"),
    ],
)
def test_fields_of_the_wrong_shape_are_named(gate: GateProcess, key: str, body: object, param: str) -> None:
    status, _, answer = gate.call("POST", "/v1/chat/completions", key, body)

    assert (status, json.loads(answer)["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/chat/completions", {"content_type": "multipart/form-data; boundary=x"}),
        ("/v1/chat/completions", {"content_type": "image/png"}),
        ("/v1/chat/completions", {"content_encoding": "gzip"}),
        ("/v1/audio/transcriptions", {"content_type": "application/json"}),
    ],
)
def test_media_that_an_endpoint_does_not_take(gate: GateProcess, key: str, path: str, headers: dict[str, str]) -> None:
    status, _, answer = gate.call("POST", path, key, b"{}", **headers)

    assert status == 415
    assert json.loads(answer)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("secret", ["", "tk-unknown", "Bearer", "sk-x", "tk-" + "a" * 5000])
def test_unknown_and_missing_keys_get_one_answer(gate: GateProcess, secret: str) -> None:
    if len(secret) > 4000:
        secret = secret[:3000]
    status, _, answer = gate.call("POST", "/v1/chat/completions", secret, {"model": "gpt-4o-mini"})

    assert (status, json.loads(answer)["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_key_is_taken_from_each_of_the_usual_headers(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, header: str
) -> None:
    from kit.gate import request

    value = f"Bearer {key}" if header == "authorization" else key

    status, _, _ = request(
        "POST", gate.url + "/v1/chat/completions", {header: value}, {"model": "gpt-4o-mini", "messages": []}
    )

    assert status == 200
    sent = upstream.requests[-1]
    assert sent.headers["authorization"] == "Bearer sk-x"
    assert key not in str(sent)


@pytest.mark.row(19)
def test_expect_100_continue_is_answered(gate: GateProcess, key: str) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": []}).encode()
    with RawClient(gate.port) as client:
        head = f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n".encode()
        client.send(BASE + head)
        client.read_until(b"100 Continue\r\n\r\n")
        client.send(body)
        client.read_until(b"chat.completion")


@pytest.mark.parametrize("whole", [True, False])
def test_a_client_of_http_1_0_gets_a_stream_without_chunks_and_is_reset_where_it_breaks_off(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, whole: bool
) -> None:
    events = b"".join(chat_events(["one ", "two "], usage_of(5, 2)))
    script, upstream.script = upstream.script, event_stream(events if whole else events[: events.index(b"two ")])
    body = json.dumps({"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}})
    try:
        with RawClient(gate.port) as client:
            head = f"POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer {key}\r\n"
            client.send(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            received, ended = b"", False
            try:
                while data := client.sock.recv(65536):
                    received += data
                ended = True
            except ConnectionResetError:
                pass
    finally:
        upstream.script = script

    answered, _, streamed = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in answered.lower()
    assert ended == whole
    if whole:
        assert streamed == events


def test_a_gate_that_is_told_to_stop_finishes_its_calls_and_exits_with_0(tmp_path: Path) -> None:
    import threading

    release = threading.Event()

    def script(request: object, connection: object) -> bool:
        release.wait(30)
        return bool(json_answer(200, chat_answer())(request, connection))  # type: ignore[arg-type]

    with ScriptedUpstream(script) as slow, running_gate(tmp_path, CONFIG.format(url=slow.url)) as gate:
        key = gate.new_key()
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, {"model": "gpt-4o-mini", "messages": []})
            assert becomes(lambda: bool(slow.requests))
            gate.process.terminate()
            assert becomes(lambda: not listens(gate.port))
            release.set()
            client.read_until(b"chat.completion")
        assert gate.stop() == 0
        assert gate.command("usage")[0]["requests"] == 1
        assert gate.command("verify")["open_holds"] == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
def test_a_body_of_more_values_than_are_read_is_refused(gate: GateProcess, path: str) -> None:
    body = b'{"model":"up/m","messages":[' + b"[]," * 20_000 + b"1]}"
    status, _, answer = gate.call("POST", path, gate.new_key(), body, content_type="application/json")
    assert (status, b"it has more than 20000 values" in answer) == (413, True)
