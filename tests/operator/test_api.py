"""The operators' port: nobody passes without the operator key, and every answer is ours: envelope, request id, methods."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, request
from kit.raw import RawClient
from kit.terminal import tollkeeper

GUARDED = ["/api/keys", "/api/usage", "/api/events", "/metrics", "/api/keys/x", "/nothing", "/"]


def _error(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["message"]
    found: dict[str, Any] = answer["error"]
    return found


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("credential", ["none", "wrong", "a caller's", "the operator's as basic", "the wrong header"])
def test_without_the_operator_key_nothing_is_open(gate: GateProcess, key: str, path: str, credential: str) -> None:
    headers = {
        "none": {},
        "wrong": {"x-api-key": "op-" + "0" * 48},
        "a caller's": {"authorization": f"Bearer {key}"},
        "the operator's as basic": {"authorization": f"Basic {gate.operator_key}"},
        "the wrong header": {"api-key": gate.operator_key},
    }[credential]

    status, answered, body = request("GET", gate.operator_url + path, headers)

    assert (status, _error(body)["code"]) == (401, "invalid_api_key")
    assert len(answered["x-request-id"]) == 32
    assert gate.operator_key not in body.decode()


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "OPTIONS"])
def test_no_method_goes_around_the_guard(gate: GateProcess, method: str) -> None:
    status, _, _ = request(method, gate.operator_url + "/api/keys", {}, {"name": "x"} if method == "POST" else None)

    assert status == 401


@pytest.mark.parametrize("header", ["X-API-KEY", "x-api-key", "Authorization"])
def test_the_operator_key_is_taken_as_x_api_key_or_as_bearer(gate: GateProcess, header: str) -> None:
    value = f"bearer {gate.operator_key}" if header == "Authorization" else gate.operator_key

    status, headers, body = request("GET", gate.operator_url + "/api/keys", {header: value})

    assert status == 200
    assert isinstance(json.loads(body)["data"], list)
    assert len(headers["x-request-id"]) == 32


def test_the_operator_key_opens_nothing_at_the_gate(gate: GateProcess) -> None:
    status, _, body = gate.call("GET", "/v1/models", gate.operator_key)

    assert (status, _error(body)["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_probes_are_open(gate: GateProcess, method: str, path: str) -> None:
    for url in (gate.url, gate.operator_url):
        status, _, body = request(method, url + path, {})

        assert status == 200
        assert body == (b'{"status":"ok"}' if method == "GET" else b"")


@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/api/keys/", "/api/keys/a/b", "/metrics/", "/v1/models"])
def test_a_path_that_is_not_there(gate: GateProcess, path: str) -> None:
    status, headers, body = gate.operator("GET", path)

    assert (status, _error(body)["code"]) == (404, "not_found")
    assert "location" not in headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/keys", "GET, HEAD, POST"),
        ("DELETE", "/api/keys", "GET, HEAD, POST"),
        ("OPTIONS", "/api/keys", "GET, HEAD, POST"),
        ("POST", "/api/keys/x", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/api/keys/x/rotate", "POST"),
        ("POST", "/api/usage", "GET, HEAD"),
        ("DELETE", "/api/events", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(gate: GateProcess, method: str, path: str, allowed: str) -> None:
    status, headers, body = gate.operator(method, path)

    assert (status, _error(body)["code"]) == (405, "method_not_allowed")
    assert ", ".join(sorted(headers["allow"].split(", "))) == allowed


@pytest.mark.parametrize("path", ["/api/keys", "/api/usage", "/api/events", "/metrics"])
def test_head_is_get_without_its_body(gate: GateProcess, path: str) -> None:
    got = gate.operator("GET", path)
    status, headers, body = gate.operator("HEAD", path)

    assert (status, body) == (200, b"")
    assert headers["content-type"] == got[1]["content-type"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"{}",
        b'{"name":5}',
        b'{"name":"x","color":"red"}',
        b'{"name":"x","models":"gpt-4o"}',
        b'{"name":"x","expires_at":"tomorrow"}',
        b'{"name":"\\ud800"}',
        b'{"name":"x","owner":' + b"[" * 30_000 + b"}",
    ],
)
def test_a_body_that_is_not_a_new_key(gate: GateProcess, body: bytes) -> None:
    before = len(json.loads(gate.operator("GET", "/api/keys")[2])["data"])

    status, _, answer = gate.operator("POST", "/api/keys", body)

    assert (status, _error(answer)["code"]) == (400, "invalid_body")
    assert len(json.loads(gate.operator("GET", "/api/keys")[2])["data"]) == before


def test_an_unknown_field_is_named(gate: GateProcess) -> None:
    _, _, answer = gate.operator("POST", "/api/keys", {"name": "x", "color": "red"})

    assert "`color`" in _error(answer)["message"]


def test_a_body_over_the_cap_is_refused(gate: GateProcess) -> None:
    status, _, answer = gate.operator("POST", "/api/keys", b'{"name":"' + b"x" * 100_000 + b'"}')

    assert (status, _error(answer)["code"]) == (413, "request_too_large")


def test_what_is_not_http_is_refused_in_the_envelope(gate: GateProcess) -> None:
    with RawClient(int(gate.operator_url.rpartition(":")[2])) as client:
        client.send(b"nonsense\r\n\r\n")
        head, _, body = client.read_all().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert _error(body)["code"] == "invalid_http"


@pytest.mark.parametrize("content", ["", "\n", "\xff"])
def test_a_gate_whose_operator_key_is_lost_does_not_start_unguarded(tmp_path: Path, content: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "operator.key").write_text(content, "latin-1")

    ended = tollkeeper("serve", "--port", "0", "--operator-port", "0", "--home", str(tmp_path / "home"))

    assert ended.code == 1
    assert "operator.key" in ended.error
