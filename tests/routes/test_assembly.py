"""Ordinary routes through the gate's port: config, match, plugins, upstream."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.scripted import Connection, Request, ScriptedUpstream

CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]
patterns = {{ seconds = 1e-6, characters = 1000000000 }}

[consumers.jack]
plugins = {{ key-auth = {{ key = "auth-one" }} }}

[routes.open]
uri = "/open/*"
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[routes.keyed]
uri = "/keyed"
plugins = {{ key-auth = {{ hide_credentials = true }} }}
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[routes.mocked]
uri = "/mocked"
plugins.mocking = {{ response_example = "hello $arg_name", content_type = "text/plain", response_status = 201 }}

[routes.compared]
uri = "/compared"
vars = [["arg_q", "~~", "^(a|aa)+$"]]
plugins.mocking = {{ response_example = "x" }}

[routes.blocked]
uri = "/blocked"
plugins.uri-blocker = {{ block_rules = ["q=(a|aa)+$"] }}
plugins.mocking = {{ response_example = "x", _meta.priority = 1 }}

[routes.validated]
uri = "/validated"
plugins.request-validation = {{ header_schema = {{ properties = {{ x-q = {{ pattern = "^(a|aa)+$" }} }} }} }}
"""


def echo(asked: Request, connection: Connection) -> bool:
    """Answers with what was asked."""
    body = json.dumps({"method": asked.method, "path": asked.path, "headers": asked.headers}).encode()
    head = f"HTTP/1.1 200 X\r\ncontent-type: application/json\r\nx-from: up\r\ncontent-length: {len(body)}\r\n\r\n"
    return connection.send(head.encode() + (b"" if asked.method == "HEAD" else body))


@pytest.fixture(scope="module")
def up() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(echo) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def routed(up: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("routed"), CONFIG.format(port=up.port)) as running:
        yield running


def test_a_route_is_passed_on_with_what_the_upstream_must_know(routed: GateProcess) -> None:
    status, headers, body = request("GET", f"{routed.url}/open/a%20b?x=1", {"x-forwarded-for": "10.0.0.1"})
    seen = json.loads(body)

    assert (status, headers["x-from"], seen["path"]) == (200, "up", "/open/a%20b?x=1")
    assert "cache-control" not in headers
    assert seen["headers"]["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert seen["headers"]["x-real-ip"] == "127.0.0.1"
    assert seen["headers"]["host"] == f"127.0.0.1:{routed.port}"


def test_headers_for_one_hop_alone_are_not_passed_on(routed: GateProcess) -> None:
    client = HTTPConnection("127.0.0.1", routed.port, timeout=30)
    client.request("GET", "/open/x", headers={"connection": "x-hop, keep-alive", "x-hop": "1", "te": "trailers"})
    seen = json.loads(client.getresponse().read())["headers"]
    client.close()

    assert {"x-hop", "connection", "te", "keep-alive"} & set(seen) == set()


def test_nobody_says_of_himself_to_an_upstream_who_he_is(routed: GateProcess) -> None:
    told = {"X-Consumer-Username": "root", "X-Credential-Identifier": "1", "X-Consumer-Custom-Id": "2", "x-own": "3"}
    seen = json.loads(request("GET", f"{routed.url}/open/x", told)[2])["headers"]

    assert {name.lower() for name in told} & set(seen) == {"x-own"}


def test_key_auth_lets_in_who_has_a_key_and_tells_the_upstream_who_it_is(routed: GateProcess) -> None:
    missing = request("GET", f"{routed.url}/keyed", {})
    wrong = request("GET", f"{routed.url}/keyed", {"apikey": "other"})
    status, _, body = request("GET", f"{routed.url}/keyed", {"apikey": "auth-one", "x-consumer-username": "root"})
    seen = json.loads(body)["headers"]

    assert (missing[0], json.loads(missing[2])) == (401, {"message": "Missing API key in request"})
    assert (wrong[0], json.loads(wrong[2])) == (401, {"message": "Invalid API key in request"})
    assert status == 200
    assert seen["x-consumer-username"] == "jack"
    assert "apikey" not in seen


def test_mocking_answers_in_place_of_an_upstream(routed: GateProcess) -> None:
    status, headers, body = request("GET", f"{routed.url}/mocked?name=ada", {})

    assert (status, headers["content-type"], body) == (201, "text/plain", b"hello ada")


@pytest.mark.parametrize("path", ["/compared", "/blocked", "/validated"])
def test_patterns_have_the_time_that_is_configured(routed: GateProcess, path: str) -> None:
    """Within the usual 50 ms each of them would be decided."""
    hard = "a" * 22 + "!"

    status, _, body = request("GET", f"{routed.url}{path}?q={hard}", {"x-q": hard})

    assert (status, b'"code":"pattern_undecided"' in body) == (400, True)


def test_what_no_route_is_for_is_not_found_unless_it_is_the_gates_own(routed: GateProcess) -> None:
    status, _, body = request("GET", f"{routed.url}/elsewhere", {})

    assert (status, json.loads(body)) == (404, {"error_msg": "404 Route Not Found"})
    assert request("GET", f"{routed.url}/v1/models", {})[0] == 401
    assert request("GET", f"{routed.url}/healthz", {})[0] == 200


def test_head_has_the_length_and_no_body(routed: GateProcess) -> None:
    status, headers, body = request("HEAD", f"{routed.url}/open/x", {})

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0
