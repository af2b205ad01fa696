"""/mcp on the operator port: the gate run by chat, with the agreement between a proposal and a change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, request, running_gate

CONFIG = """
[mcp]
origins = ["https://chat.example"]
[routing]
allow_nodes = ["127.0.0.0/8"]
"""
CONSUMER = {"do": "put", "kind": "consumers", "id": "jack", "value": {"plugins": {"key-auth": {"key": "s3cr3t-key"}}}}
ROUTE = {
    "do": "put",
    "kind": "routes",
    "id": "hello",
    "value": {"uri": "/hello", "plugins": {"key-auth": {}, "mocking": {"response_example": "hi"}}},
}


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG) as running:
        yield running


def _post(gate: GateProcess, key: str, method: str, params: Any = None, **headers: str) -> tuple[int, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params})}
    status, _, body = request("POST", gate.operator_url + "/mcp", {"x-api-key": key, **headers}, message)
    return status, json.loads(body)


def _use(gate: GateProcess, tool: str, /, **arguments: Any) -> Any:
    """What a tool answered with the operator key: its object, or the words of its refusal."""
    status, told = _post(gate, gate.operator_key, "tools/call", {"name": tool, "arguments": arguments})
    assert status == 200, told
    result = told["result"]
    return result["content"][0]["text"] if result["isError"] else result["structuredContent"]


def _names(gate: GateProcess, key: str) -> set[str]:
    return {tool["name"] for tool in _post(gate, key, "tools/list")[1]["result"]["tools"]}


def test_a_route_is_made_tried_and_undone_by_tools_alone(gate: GateProcess) -> None:
    assert "key-auth" in _use(gate, "list_plugins")["plugins"]
    assert "properties" in _use(gate, "get_plugin_schema", name="key-auth")["schema"]
    proposal = _use(gate, "propose_changes", what="a greeting", steps=[CONSUMER, ROUTE])
    assert "s3cr3t-key" not in json.dumps(proposal)
    assert _use(gate, "send_request", method="GET", path="/hello")["body"] != "hi"

    revision = _use(gate, "apply_proposal", id=proposal["id"])
    assert revision["changed"] == ["consumers/jack", "routes/hello"]
    assert _use(gate, "send_request", method="GET", path="/hello")["status"] == 401
    answer = _use(gate, "send_request", method="GET", path="/hello", headers={"apikey": "s3cr3t-key"})
    assert (answer["status"], answer["body"]) == (200, "hi")

    assert "There is no revision" in _use(gate, "undo_revision", revision=10**30)
    _use(gate, "undo_revision", revision=revision["revision"])
    assert _use(gate, "list_resources", kind="routes")["total"] == 0
    assert _use(gate, "list_revisions")["revisions"][0]["face"] == "mcp"


def test_secrets_are_not_shown_through_chat(gate: GateProcess) -> None:
    proposal = _use(gate, "propose_changes", what="jack", steps=[CONSUMER])
    revision = _use(gate, "apply_proposal", id=proposal["id"])
    shown = [
        _use(gate, "get_resource", kind="consumers", id="jack"),
        _use(gate, "list_resources", kind="consumers"),
        _use(gate, "get_revision", revision=revision["revision"]),
    ]
    assert "s3cr3t-key" not in json.dumps(shown)


def test_refusals_reach_the_model_word_for_word(gate: GateProcess) -> None:
    wrong = {"do": "put", "kind": "routes", "id": "1", "value": {"uri": "/x", "plugins": {"nothing": {}}}}
    assert _use(gate, "propose_changes", what="x", steps=[wrong]) == "unknown plugin [nothing]"
    inside = {"type": "roundrobin", "nodes": {"169.254.169.254:80": 1}}
    steps = [{"do": "put", "kind": "upstreams", "id": "1", "value": inside}]
    assert "is not allowed" in _use(gate, "propose_changes", what="x", steps=steps)
    assert _use(gate, "get_resource", kind="routes", id="7") == "Key not found"
    assert "no proposal" in _use(gate, "apply_proposal", id="7")


def test_keys_are_made_shown_without_secret_and_ended(gate: GateProcess) -> None:
    made = _use(gate, "create_key", name="ada", limits=["60 requests/minute"])
    assert made["key"].startswith("tk-")
    listed = _use(gate, "list_keys")["keys"]
    assert [(key["name"], key["limits"]) for key in listed] == [("ada", ["60 requests/minute"])]
    assert made["key"] not in json.dumps(listed)
    _use(gate, "revoke_key", key="ada")
    assert gate.call("GET", "/v1/models", made["key"])[0] == 401


def test_who_only_views_gets_no_tool_that_changes_anything(gate: GateProcess) -> None:
    viewer = (gate.home / "viewer.key").read_text("ascii").strip()
    all_of_them, looks = _names(gate, gate.operator_key), _names(gate, viewer)
    assert 12 <= len(all_of_them) <= 20
    assert all_of_them - looks == {
        "apply_proposal",
        "discard_proposal",
        "undo_revision",
        "send_request",
        "create_key",
        "revoke_key",
    }
    assert _post(gate, viewer, "tools/call", {"name": "undo_revision", "arguments": {"revision": 1}})[1]["error"]


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {}, {"x-api-key": ""}])
def test_nobody_else_gets_in(gate: GateProcess, headers: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    status, answered, _ = request("POST", gate.operator_url + "/mcp", headers, message)
    assert (status, answered["www-authenticate"]) == (401, "Bearer")


def test_pages_of_others_are_kept_out(gate: GateProcess) -> None:
    assert _post(gate, gate.operator_key, "ping", origin="https://evil.example")[0] == 403
    assert _post(gate, gate.operator_key, "ping", origin="https://chat.example")[0] == 200
    for host, status in (("evil.example", 403), ("localhost", 200)):  # a name may be made to point here
        assert _post(gate, gate.operator_key, "ping", origin=f"http://{host}", host=host)[0] == status


@pytest.mark.parametrize(
    "given",
    [
        {"method": "GET", "path": "/x y"},
        {"method": "GET", "path": "/x\r\nhost: evil"},
        {"method": "GET", "path": "/x", "headers": {"host": "evil"}},
        {"method": "GET", "path": "/x", "headers": {"a": "b\r\nc: d"}},
        {"method": "GET", "path": "/x", "headers": {"transfer-encoding": "chunked"}},
    ],
)
def test_a_test_request_is_one_request(gate: GateProcess, given: dict[str, Any]) -> None:
    assert isinstance(_use(gate, "send_request", **given), str)
