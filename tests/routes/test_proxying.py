"""What happens between the gate and the nodes of an upstream."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kit.backends import Refusing
from kit.exchanges import exchange
from kit.gate import GateProcess, request, running_gate
from kit.raw import RawClient
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from kit.tls import TlsUpstream, certificate
from tollkeeper.core.errors import ClientLeft, UpstreamError
from tollkeeper.routes.proxying import Proxy
from tollkeeper.routes.upstreams import Upstream
from tollkeeper.routes.watching import Checks
from tollkeeper.upstream.nodes import Allowed

CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def gate_with_routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("proxying"), CONFIG) as running:
        yield running


REPLACES = {"response-rewrite": {"filters": [{"regex": "a", "replace": "b"}]}}
TRANSFORMS = {"body-transformer": {"response": {"input_format": "json", "template": "{* a *}"}}}


def route(
    gate: GateProcess, uri: str, nodes: dict[str, int], more: dict[str, Any] | None = None, **upstream: Any
) -> str:
    """A route to these nodes; its URL."""
    id = uri.strip("/").replace("/", "-").replace("*", "")
    value = {"uri": uri, "upstream": {"nodes": nodes, **upstream}, **(more or {})}
    status, _, body = gate.operator("PUT", f"/apisix/admin/routes/{id}", value)
    assert status in (200, 201), body
    return gate.url + uri.removesuffix("*")


def test_another_node_is_asked_where_one_cannot_be_reached(gate_with_routes: GateProcess) -> None:
    refusing = Refusing("127.0.0.1")
    with ScriptedUpstream(json_answer(200, {"from": "well"})) as up:
        nodes = {f"127.0.0.1:{refusing.port}": 1, f"127.0.0.1:{up.port}": 1}
        url = route(gate_with_routes, "/retried", nodes)
        answers = [request("GET", url, {}) for _ in range(4)]
        posted = [request("POST", url, {}, {"n": number})[0] for number in range(4)]
    refusing.close()

    assert [status for status, _, _ in answers] == [200] * 4
    assert refusing.count >= 2
    assert sorted(set(posted)) == [200, 502], "a POST that a node may have begun is not sent twice"


def test_a_client_that_has_left_is_not_tried_for_any_longer() -> None:
    asked = exchange()

    class Nowhere:
        """Hops to where nobody listens; the client leaves after the third."""

        count = 0

        async def send_to(self, *_: Any) -> Any:
            self.count += 1
            if self.count == 3:
                asked.presence.leave()
            raise UpstreamError("Refused.", code="upstream_refused")

    hops: Any = Nowhere()
    upstream = Upstream("here", {"nodes": {"192.0.2.1:80": 1}, "retries": 10**9}, Random(1), time.monotonic)
    with pytest.raises(ClientLeft):
        asyncio.run(Proxy(hops, Checks(hops, lambda *_, **__: None), time.monotonic, 32).serve(asked, upstream, None))
    assert (hops.count, upstream.nodes[0].active) == (3, 0)


def test_a_silent_node_is_504_after_the_route_s_time(gate_with_routes: GateProcess) -> None:
    def silent(asked: Request, connection: Connection) -> bool:
        return connection.wait_for_peer_to_close(30) is None

    with ScriptedUpstream(silent) as up:
        timeout = {"timeout": {"connect": 5, "send": 5, "read": 0.3}}
        url = route(gate_with_routes, "/silent", {f"127.0.0.1:{up.port}": 1}, timeout)
        status, _, body = request("GET", url, {})

    assert (status, json.loads(body)["code"]) == (504, "upstream_timeout")


def test_a_node_that_takes_no_more_of_a_body_is_504_after_the_route_s_time(gate_with_routes: GateProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        timeout = {"timeout": {"connect": 5, "send": 0.3, "read": 600}}
        route(gate_with_routes, "/deaf", {f"127.0.0.1:{deaf.getsockname()[1]}": 1}, timeout)
        with RawClient(gate_with_routes.port, 30) as client:
            client.send(b"PUT /deaf HTTP/1.1\r\nhost: gate\r\ncontent-length: 100000000\r\n\r\n")
            pushing = threading.Thread(target=_push, args=(client.sock, b"x" * 100_000_000), daemon=True)
            pushing.start()
            answer = client.read_until(b"upstream_timeout")
        pushing.join(20)

    assert answer.startswith(b"HTTP/1.1 504 ")


def _push(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)


def test_bodies_stream_both_ways(gate_with_routes: GateProcess) -> None:
    go_on = threading.Event()

    def script(asked: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\ncache-control: max-age=9\r\n\r\n")
        connection.chunk(b"first")
        assert go_on.wait(20)
        connection.chunk(str(len(asked.body)).encode())
        return connection.end()

    with ScriptedUpstream(script) as up:
        route(gate_with_routes, "/streamed", {f"127.0.0.1:{up.port}": 1})
        client = HTTPConnection("127.0.0.1", gate_with_routes.port, timeout=30)
        client.request("POST", "/streamed", iter([b"x" * 100_000] * 20), encode_chunked=True)
        answer = client.getresponse()
        first = answer.read(5)
        go_on.set()
        rest = answer.read()
        client.close()

    assert (first, rest) == (b"first", b"2000000")
    assert answer.getheader("cache-control") == "max-age=9"
    assert up.requests[0].headers["transfer-encoding"] == "chunked"


def test_an_answer_that_breaks_off_is_no_clean_end(gate_with_routes: GateProcess) -> None:
    def script(asked: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.chunk(b"some")
        return False

    with ScriptedUpstream(script) as up:
        route(gate_with_routes, "/cut", {f"127.0.0.1:{up.port}": 1})
        client = RawClient(gate_with_routes.port)
        client.send(b"GET /cut HTTP/1.1\r\nhost: a\r\n\r\n")
        received = client.read_all()
        client.sock.close()

    assert b"some" in received
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("plugin", [REPLACES, TRANSFORMS], ids=["response-rewrite", "body-transformer"])
def test_an_answer_that_breaks_off_before_anything_of_it_went_out_is_a_502(
    gate_with_routes: GateProcess, plugin: dict[str, Any]
) -> None:
    def script(asked: Request, connection: Connection) -> bool:
        connection.send(
            b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\nx-of: upstream\r\ncontent-length: 99\r\n\r\n"
        )
        connection.send(b'{"a": 1')
        return False

    plugins = {"cors": {}, "proxy-cache": {"cache_http_status": [200, 502]}, **plugin}
    with ScriptedUpstream(script) as up:
        route(gate_with_routes, "/cut-whole", {f"127.0.0.1:{up.port}": 1}, {"plugins": plugins})
        status, headers, body = request("GET", f"{gate_with_routes.url}/cut-whole", {"origin": "https://a.example"})

    assert (status, headers["access-control-allow-origin"], headers.get("x-of")) == (502, "*", None)
    assert b'"a"' not in body


def test_a_client_that_leaves_takes_its_request_along(gate_with_routes: GateProcess) -> None:
    left = threading.Event()

    def script(asked: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.chunk(b"some")
        if connection.wait_for_peer_to_close(20) is not None:
            left.set()
        return False

    with ScriptedUpstream(script) as up:
        route(gate_with_routes, "/left", {f"127.0.0.1:{up.port}": 1})
        client = RawClient(gate_with_routes.port)
        client.send(b"GET /left HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_until(b"some")
        client.reset()

        assert left.wait(20)


def test_connections_to_nodes_are_kept(gate_with_routes: GateProcess) -> None:
    with ScriptedUpstream(json_answer(200, {})) as up:
        url = route(gate_with_routes, "/kept", {f"127.0.0.1:{up.port}": 1})
        for _ in range(5):
            assert request("GET", url, {})[0] == 200
        assert up.connections == 1

        url = route(gate_with_routes, "/kept", {f"127.0.0.1:{up.port}": 1}, keepalive_pool={"requests": 2})
        for _ in range(4):
            assert request("GET", url, {})[0] == 200
        assert up.connections == 3


def test_tls_to_a_node_is_verified_unless_told_otherwise(gate_with_routes: GateProcess, tmp_path: Path) -> None:
    with TlsUpstream(json_answer(200, {"tls": True}), certificate(tmp_path, "DNS:asked.com")) as up:
        nodes = {f"127.0.0.1:{up.port}": 1}
        url = route(gate_with_routes, "/verified", nodes, scheme="https")
        refused = request("GET", url, {})
        url = route(gate_with_routes, "/trusting", nodes, scheme="https", tls={"verify": False})
        answered = request("GET", url, {})

    assert (refused[0], json.loads(refused[2])["code"]) == (502, "upstream_certificate_invalid")
    assert (answered[0], json.loads(answered[2])) == (200, {"tls": True})


def test_a_name_that_leads_to_a_forbidden_address_leads_nowhere(tmp_path: Path) -> None:
    with ScriptedUpstream(json_answer(200, {})) as up, running_gate(tmp_path) as gate:
        url = route(gate, "/named", {f"localhost:{up.port}": 1}, retries=0)
        status, _, body = request("GET", url, {})

    assert (status, json.loads(body)["code"]) == (502, "upstream_address_forbidden")
    assert up.connections == 0


def until(condition: Any, seconds: float = 30) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def test_a_node_that_fails_its_checks_is_left_out_until_it_is_well_again(gate_with_routes: GateProcess) -> None:
    ill = threading.Event()

    def script(asked: Request, connection: Connection) -> bool:
        return bool(json_answer(500 if ill.is_set() else 200, {"from": "one"})(asked, connection))

    def states() -> set[str]:
        _, _, body = gate_with_routes.operator("GET", "/v1/healthcheck")
        return {node["status"] for each in json.loads(body) for node in each["nodes"] if node["port"] == one.port}

    with ScriptedUpstream(script) as one, ScriptedUpstream(json_answer(200, {"from": "other"})) as other:
        active = {"http_path": "/up", "healthy": {"successes": 1}, "unhealthy": {"http_failures": 2}}
        nodes = {f"127.0.0.1:{one.port}": 1, f"127.0.0.1:{other.port}": 1}
        url = route(gate_with_routes, "/checked", nodes, checks={"active": active})
        assert {request("GET", url, {})[2] for _ in range(4)} == {b'{"from": "one"}', b'{"from": "other"}'}

        ill.set()
        assert until(lambda: states() & {"unhealthy", "mostly_unhealthy"})
        assert {request("GET", url, {})[2] for _ in range(4)} == {b'{"from": "other"}'}
        ill.clear()
        assert until(lambda: states() & {"healthy"})
        assert {request("GET", url, {})[2] for _ in range(4)} == {b'{"from": "one"}', b'{"from": "other"}'}


def test_what_requests_meet_counts_too(gate_with_routes: GateProcess) -> None:
    with ScriptedUpstream(json_answer(503, {})) as ill, ScriptedUpstream(json_answer(200, {})) as well:
        checks = {
            "active": {"type": "tcp", "healthy": {"interval": 100}, "unhealthy": {"interval": 100}},
            "passive": {"unhealthy": {"http_statuses": [503], "http_failures": 2}},
        }
        nodes = {f"127.0.0.1:{ill.port}": 1, f"127.0.0.1:{well.port}": 1}
        url = route(gate_with_routes, "/passive", nodes, checks=checks)
        statuses = [request("GET", url, {})[0] for _ in range(10)]

    # One more where the first active probe, which finds the port open, comes between the two.
    assert statuses.count(503) in (2, 3)
    assert statuses[-4:] == [200] * 4


def test_sockets_are_not_left_open(gate_with_routes: GateProcess) -> None:
    """A port that nobody listens on is 502 at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    status, _, body = request("GET", route(gate_with_routes, "/refused", {f"127.0.0.1:{port}": 1}), {})

    assert (status, json.loads(body)["code"]) == (502, "upstream_refused")


def test_a_route_that_leads_back_to_the_gate_comes_to_an_end(gate_with_routes: GateProcess) -> None:
    url = route(gate_with_routes, "/round", {f"127.0.0.1:{gate_with_routes.port}": 1})

    status, _, body = request("GET", url, {})

    assert (status, json.loads(body)["code"]) == (508, "loop_detected")


@pytest.mark.parametrize("name", ["x_consumer_username", "X-Consumer_Username", "x_real_ip", "x-forwarded_for"])
def test_no_client_tells_by_another_spelling_who_it_is(gate_with_routes: GateProcess, name: str) -> None:
    with ScriptedUpstream(json_answer(200, {})) as up:
        url = route(gate_with_routes, "/spelt", {f"127.0.0.1:{up.port}": 1})
        status, _, _ = request("GET", url, {name: "admin", "x_own": "kept"})

    assert status == 200
    assert "admin" not in up.requests[0].headers.values()
    assert up.requests[0].headers["x_own"] == "kept"


@pytest.mark.parametrize(
    "host", ["a b:80", "ho\nst:80", "user@127.0.0.1:80", "127.0.0.1/x:80", "bücher.example", ":80"]
)
def test_a_node_that_is_no_host_is_refused(gate_with_routes: GateProcess, host: str) -> None:
    value = {"uri": "/none", "upstream": {"nodes": {host: 1}}}

    status, _, body = gate_with_routes.operator("PUT", "/apisix/admin/routes/none", value)

    assert (status, json.loads(body)["error_msg"].partition(":")[0].partition(" '")[0]) == (400, "invalid node")


@pytest.mark.parametrize("address", ["64:ff9b::a9fe:a9fe", "::169.254.169.254", "2002:a9fe:a9fe::", "::ffff:10.0.0.1"])
def test_no_address_leads_to_a_private_one_behind_it(address: str) -> None:
    assert not Allowed()(address)
    assert Allowed(["169.254.0.0/16", "10.0.0.0/8"])(address)


def test_an_answer_is_dated_once(gate_with_routes: GateProcess) -> None:
    with ScriptedUpstream(json_answer(200, {}, "date: Thu, 01 Jan 1970 00:00:00 GMT")) as up:
        url = route(gate_with_routes, "/dated", {f"127.0.0.1:{up.port}": 1})
        connection = HTTPConnection("127.0.0.1", gate_with_routes.port, timeout=30)
        connection.request("GET", url.removeprefix(gate_with_routes.url))
        dates = [value for name, value in connection.getresponse().getheaders() if name.lower() == "date"]
        connection.close()

    assert len(dates) == 1
    assert "1970" not in dates[0]
