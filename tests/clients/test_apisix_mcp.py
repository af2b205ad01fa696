"""apisix-mcp, made for running APISIX by chat: each of its tools against our Admin API, over stdio as chat clients do."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from clients.environments import NODE_MODULES
from kit.gate import GateProcess, running_gate
from kit.routed import CONFIG, telling
from kit.scripted import ScriptedUpstream

PROGRAM = NODE_MODULES / "apisix-mcp" / "dist" / "index.js"
pytestmark = pytest.mark.skipif(
    not PROGRAM.exists() or shutil.which("node") is None,
    reason="scripts/setup-clients has not run: apisix-mcp is missing",
)
SECRET = "s3cr3t"
THERE = {
    "upstreams/u": {"type": "roundrobin", "nodes": {"NODE": 1}},
    "upstreams/gone": {"type": "roundrobin", "nodes": {"NODE": 1}},
    "services/s": {"upstream_id": "u"},
    "routes/r": {"name": "first", "uri": "/first", "upstream_id": "u"},
    "consumers/ann": {"username": "ann", "plugins": {}},
    "consumers/ann/credentials/c": {"plugins": {"key-auth": {"key": SECRET}}},
    "consumers/ann/credentials/gone": {"plugins": {"basic-auth": {"username": "ann", "password": SECRET}}},
    "consumer_groups/g": {"plugins": {"request-id": {}}},
    "global_rules/rule": {"plugins": {"request-id": {}}},
    "plugin_configs/p": {"plugins": {"request-id": {}}},
    "plugin_metadata/file-logger": {"log_format": {"host": "$host"}},
    "plugin_metadata/http-logger": {"log_format": {"host": "$host"}},
}
VAULT = {"uri": "https://vault.example", "prefix": "kv/apisix", "token": SECRET}
NODES = [{"host": "NODE-HOST", "port": "NODE-PORT", "weight": 1}]
DONE = [
    ("get_all_plugin_names", {}, ["key-auth", "limit-count"]),
    ("get_plugin_schema", {"name": "limit-count"}, {"type": "object"}),
    ("get_plugin_metadata", {"name": "file-logger"}, {"value": {"log_format": {"host": "$host"}}}),
    (
        "create_or_update_plugin_metadata",
        {"name": "prometheus", "metadata": {"_meta": {}}},
        {"key": "/apisix/plugin_metadata/prometheus"},
    ),
    ("delete_plugin_metadata", {"name": "http-logger"}, {"deleted": "1"}),
    ("get_resource", {"type": "routes", "name": "first", "uri": "/fir"}, {"total": 1}),
    ("get_resource", {"type": "upstreams", "id": "u"}, {"value": {"type": "roundrobin"}}),
    ("get_resource", {"type": "ssls"}, {"total": 0}),
    ("delete_resource", {"type": "upstreams", "id": "gone"}, {"deleted": "1"}),
    ("create_route", {"route": {"uri": "/second", "upstream": {"nodes": NODES}}}, {"value": {"uri": "/second"}}),
    ("create_route", {"id": "third", "route": {"uri": "/third", "upstream_id": "u"}}, {"value": {"id": "third"}}),
    ("update_route", {"id": "r", "route": {"status": 1}}, {"value": {"status": 1}}),
    ("create_service", {"service": {"upstream": {"nodes": NODES}}}, {"value": {"upstream": {}}}),
    ("create_service", {"id": "t", "service": {"upstream_id": "u"}}, {"value": {"id": "t"}}),
    ("update_service", {"id": "s", "service": {"desc": "kept"}}, {"value": {"desc": "kept"}}),
    ("create_upstream", {"upstream": {"nodes": NODES}}, {"value": {"pass_host": "pass"}}),
    ("create_upstream", {"id": "v", "upstream": {"nodes": NODES}}, {"value": {"id": "v"}}),
    ("update_upstream", {"id": "u", "upstream": {"retries": 1}}, {"value": {"retries": 1}}),
    (
        "create_or_update_consumer",
        {"username": "bob", "plugins": {"key-auth": {"key": SECRET + "-of-bob"}}},
        {"value": {"username": "bob"}},
    ),
    ("get_credential", {"username": "ann"}, {"total": 2}),
    ("get_credential", {"username": "ann", "id": "c"}, {"value": {"plugins": {"key-auth": {"key": SECRET}}}}),
    ("delete_credential", {"username": "ann", "id": "gone"}, {"deleted": "1"}),
    (
        "create_consumer_group",
        {"id": "h", "consumerGroup": {"plugins": {"request-id": {}}}},
        {"value": {"plugins": {"request-id": {}}}},
    ),
    ("update_consumer_group", {"id": "g", "consumerGroup": {"desc": "kept"}}, {"value": {"desc": "kept"}}),
    ("create_global_rule", {"id": "new", "plugins": {"cors": {}}}, {"value": {"plugins": {"cors": {}}}}),
    (
        "update_global_rule",
        {"id": "rule", "plugins": {"request-id": {"include_in_response": False}}},
        {"value": {"plugins": {"request-id": {"include_in_response": False}}}},
    ),
    ("create_secret", {"id": "1", "manager": "vault", "secret": {"type": "vault", **VAULT}}, {"value": VAULT}),
    ("get_secret_by_id", {"id": "1", "manager": "vault"}, {"value": VAULT}),
    ("get_secret_by_id", {"manager": "vault"}, {"total": 1}),
    (
        "update_secret",
        {"id": "1", "manager": "vault", "secret": {"type": "vault", **VAULT, "prefix": "kv/other"}},
        {"value": {"prefix": "kv/other"}},
    ),
    ("delete_secret", {"id": "1", "manager": "vault"}, {"deleted": "1"}),
    (
        "create_or_update_proto",
        {"id": "1", "proto": {"content": 'syntax = "proto3"; package a; message M {}'}},
        {"value": {"id": "1"}},
    ),
    (
        "send_request_to_gateway",
        {"requests": [{"path": "/third", "method": "GET", "repeatCount": 3}]},
        {"summary": {"total": 3, "successful": 3, "failed": 0}},
    ),
]
"""Each tool with what it is given, in order, and what its answer has in it at least."""
REFUSED = [
    ("create_route", {"id": "x", "route": {"uri": "/x", "upstream_id": "none"}}, "failed to fetch upstream info"),
    ("create_consumer_group", {"consumerGroup": {"plugins": {}}}, "not supported `POST` method for consumer group"),
    # It sends its own arguments as the resource, which APISIX refuses as well.
    (
        "create_or_update_credential",
        {"username": "ann", "id": "d", "credential": {"name": "d"}},
        "additional properties forbidden",
    ),
    ("create_plugin_config", {"id": "q", "plugins": {"desc": "d", "labels": {}, "plugins": {}}}, "unknown plugin"),
    ("update_plugin_config", {"id": "p", "plugins": {"desc": "d", "labels": {}, "plugins": {}}}, "unknown plugin"),
    # Neither TLS nor streams are ended here.
    ("create_ssl", {"ssl": {"cert": "a", "key": "b", "sni": "a.example"}}, "TLS is not ended here"),
    ("update_ssl", {"id": "1", "ssl": {"sni": "a.example"}}, "TLS is not ended here"),
    (
        "create_or_update_stream_route",
        {"route": {"server_addr": "127.0.0.1", "server_port": 9100, "upstream_id": "u"}},
        "stream mode is disabled, can not add stream routes",
    ),
]
"""What is refused, and in which words."""


class Tools:
    """apisix-mcp as a process that speaks JSON lines."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._number = 0
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
        self.ask("initialize", about)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, params: Any) -> Any:
        """The result of one request."""
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        assert answer.get("id") == self._number, answer
        return answer["result"]

    def use(self, name: str, arguments: Any) -> tuple[bool, str]:
        """Whether it went well, and what the tool said."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        return not result.get("isError", False), result["content"][0]["text"]

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(telling) as running:
        yield running


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate with something of everything."""
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG) as running:
        for path, value in THERE.items():
            status, _, body = running.operator("PUT", f"/apisix/admin/{path}", placed(value, upstream))
            assert status == 201, body
        yield running


@pytest.fixture(scope="module")
def tools(gate: GateProcess) -> Iterator[Tools]:
    """The client, pointed at it."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "APISIX_SERVER_HOST": "http://127.0.0.1",
        "APISIX_SERVER_PORT": str(gate.port),
        "APISIX_ADMIN_API_PORT": gate.operator_url.rpartition(":")[2],
        "APISIX_ADMIN_KEY": gate.operator_key,
    }
    with subprocess.Popen(
        ["node", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        try:
            yield Tools(process)
        finally:
            process.terminate()


def placed(value: Any, upstream: ScriptedUpstream) -> Any:
    """With the upstream's address in place of those that stand for it."""
    text = json.dumps(value).replace('"NODE"', f'"127.0.0.1:{upstream.port}"').replace("NODE-HOST", "127.0.0.1")
    return json.loads(text.replace('"NODE-PORT"', str(upstream.port)))


def holds(found: Any, wanted: Any) -> bool:
    """Whether what is wanted is in what was found."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(name in found and holds(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and all(each in found for each in wanted)
    return bool(found == wanted)


def test_every_tool_does_what_it_says(tools: Tools, upstream: ScriptedUpstream) -> None:
    for name, arguments, wanted in DONE:
        well, said = tools.use(name, placed(arguments, upstream))
        assert well, f"{name}: {said}"
        assert holds(json.loads(said), wanted), f"{name}: {said}"


@pytest.mark.parametrize(("name", "arguments", "words"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_what_cannot_be_is_told_to_the_model_word_for_word(
    tools: Tools, upstream: ScriptedUpstream, name: str, arguments: Any, words: str
) -> None:
    well, said = tools.use(name, placed(arguments, upstream))
    assert not well
    assert words in said


def test_no_tool_is_left_out(tools: Tools) -> None:
    there = {tool["name"] for tool in tools.ask("tools/list", {})["tools"]}
    assert there == {name for name, _, _ in (*DONE, *REFUSED)}
