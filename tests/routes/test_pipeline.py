"""What plugins took for a request they give back, however it ends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.raw import RawClient, body_of, refusal
from kit.waiting import until

BREAKING = '''"""Breaks."""

import asyncio
from typing import Any, ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.plugin import Outcome, Plugin


async def _cancelled() -> None:
    waiting = asyncio.ensure_future(asyncio.sleep(60))
    waiting.cancel()
    await waiting


class Pieces:
    """A body that breaks after its first piece."""

    def __init__(self) -> None:
        self.given = 0

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        self.given += 1
        return b"a piece" if self.given == 1 else await _cancelled()

    def close(self) -> None:
        """Nothing to close."""


class Breaking(Plugin):
    """Breaks where it is told to."""

    priority = 10
    schema: ClassVar[dict[str, Any]] = {"type": "object", "properties": {"at": {"type": "string"}}}

    def access(self, exchange: Exchange) -> Outcome:
        if self.conf["at"] == "access":
            raise ZeroDivisionError
        if self.conf["at"] == "wait":
            return _cancelled()
        if self.conf["at"] == "stream":
            return Response(200, body=Pieces())
        return Response(200, body=b"well")

    def header_filter(self, exchange: Exchange) -> None:
        if self.conf["at"] == "header_filter":
            raise ZeroDivisionError
'''
CONFIG = """
[routing]
plugins = "own"
allow_nodes = ["127.0.0.0/8"]
""" + "".join(
    f"""
[routes.{at}]
uri = "/{at}"
plugins.breaking = {{ at = "{at}" }}
plugins.limit-conn = {{ conn = 1, burst = 0, default_conn_delay = 0.1, key = "remote_addr" }}
"""
    for at in ("access", "header_filter", "nowhere", "wait", "stream")
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "own").mkdir()
    (folder / "own" / "breaking.py").write_text(BREAKING, "utf-8")
    with running_gate(folder, CONFIG) as running:
        yield running


@pytest.mark.parametrize(("at", "status"), [("access", 500), ("header_filter", 500), ("wait", 500), ("nowhere", 200)])
def test_a_plugin_that_breaks_keeps_nothing_that_others_took(gate: GateProcess, at: str, status: int) -> None:
    for _ in range(3):
        assert request("GET", f"{gate.url}/{at}", {})[0] == status


def _logged(gate: GateProcess, answer: bytes) -> str:
    """The kind of error that the log has for the request of this answer."""
    [request_id] = re.findall(rb"\r\nx-request-id: (\S+)\r\n", answer)

    def found() -> list[str]:
        lines = map(json.loads, gate.log().splitlines())
        return [line["error"] for line in lines if line["event"] == "internal_error" and line["request_id"] == id]

    id = request_id.decode()
    [error] = until(found)
    return str(error)


def test_a_plugin_whose_own_wait_is_cancelled_has_failed_and_the_next_request_is_answered(gate: GateProcess) -> None:
    with RawClient(gate.port) as client:
        client.send(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = client.read_until(b"}}")
        client.received = b""
        client.send(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.read_until(b"well").startswith(b"HTTP/1.1 200 ")

    assert refusal(answer) == (500, "internal_error")
    assert _logged(gate, answer) == "CancelledError"


def test_a_stream_that_breaks_within_the_gate_is_cut_off_and_logged(gate: GateProcess) -> None:
    for _ in range(2):  # limit-conn lets one in at a time: the first has given back what it took
        with RawClient(gate.port) as client:
            client.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = client.read_all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert body_of(answer) == (b"a piece", False)
        assert _logged(gate, answer) == "CancelledError"


SECURED = {"plugins": {"key-auth": {}}}
NOBODY = {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}
"""Whoever is let in gets 502."""


@pytest.mark.parametrize(
    ("used", "value", "route", "status"),
    [
        ("services/kept", SECURED, {"service_id": "kept", "upstream": NOBODY}, 503),
        ("plugin_configs/kept", SECURED, {"plugin_config_id": "kept", "upstream": NOBODY}, 503),
        ("upstreams/kept", NOBODY, {"upstream_id": "kept"}, 502),
    ],
)
@pytest.mark.parametrize("way", ["by force", "by time"])
def test_a_route_whose_parts_are_gone_lets_nobody_in(
    gate: GateProcess, used: str, value: dict[str, Any], route: dict[str, Any], status: int, way: str
) -> None:
    def admin(method: str, path: str, body: Any = None) -> int:
        return gate.operator(method, "/apisix/admin/" + path, body)[0]

    assert admin("PUT", used, value) == 201
    assert admin("PUT", "routes/using", {"uri": "/using", **route}) in (200, 201)
    assert request("GET", gate.url + "/using", {})[0] in (401, 502)

    if way == "by force":
        assert admin("DELETE", used + "?force=true") == 200
    else:
        assert admin("PUT", used + "?ttl=1", value) == 200
        until(lambda: admin("GET", used) == 404)

    found, _, body = request("GET", gate.url + "/using", {})
    assert (found, json.loads(body)["code"]) == (status, "route_incomplete")


def test_a_consumer_whose_group_is_gone_is_not_let_in_without_the_groups_rules(gate: GateProcess) -> None:
    def admin(method: str, path: str, body: Any = None) -> int:
        return gate.operator(method, "/apisix/admin/" + path, body)[0]

    assert admin("PUT", "consumer_groups/few", {"plugins": {"ip-restriction": {"blacklist": ["127.0.0.1"]}}}) == 201
    jill = {"username": "jill", "group_id": "few", "plugins": {"key-auth": {"key": "jills"}}}
    assert admin("PUT", "consumers", jill) == 201
    assert admin("PUT", "routes/for-jill", {"uri": "/for-jill", **SECURED, "upstream": NOBODY}) == 201
    assert request("GET", gate.url + "/for-jill", {"apikey": "jills"})[0] == 403

    assert admin("DELETE", "consumer_groups/few?force=true") == 200

    status, _, body = request("GET", gate.url + "/for-jill", {"apikey": "jills"})
    assert (status, json.loads(body)["code"]) == (503, "route_incomplete")


def test_a_route_whose_plugin_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "breaking.py").write_text(BREAKING, "utf-8")
    folder, elsewhere = '[routing]\nallow_nodes = ["127.0.0.0/8"]\nplugins = "own"\n', '[routing]\nplugins = "none"\n'
    with running_gate(tmp_path, folder) as gate:
        value = {"uri": "/guarded", "plugins": {"breaking": {"at": "nowhere"}}, "upstream": NOBODY}
        assert gate.operator("PUT", "/apisix/admin/routes/guarded", value)[0] == 201
        assert request("GET", gate.url + "/guarded", {})[2] == b"well"
        gate.stop()
        (tmp_path / "none").mkdir()
        gate.config.write_text(gate.config.read_text("utf-8").replace(folder, elsewhere), "utf-8")
        gate.start()

        status, _, body = request("GET", gate.url + "/guarded", {})

    assert (status, json.loads(body)["code"]) == (503, "route_incomplete")
