"""Changes of routes that are proposed, looked at, applied and undone, by REST."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), "") as running:
        yield running


HIDDEN = {"do": "put", "kind": "consumers", "id": "j", "value": {"plugins": {"key-auth": {"key": "[hidden]"}}}}


def _ask(gate: GateProcess, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, _, answer = gate.operator(method, path, body)
    return status, json.loads(answer)


def _put(id: str, uri: str) -> dict[str, Any]:
    return {
        "do": "put",
        "kind": "routes",
        "id": id,
        "value": {"uri": uri, "plugins": {"mocking": {"response_example": "hi"}}},
    }


def _propose(gate: GateProcess, *steps: dict[str, Any]) -> tuple[int, Any]:
    return _ask(gate, "POST", "/api/proposals", {"what": "a test", "steps": list(steps)})


def test_a_proposal_changes_nothing_until_it_is_applied_and_can_be_undone(gate: GateProcess) -> None:
    status, proposal = _propose(gate, _put("1", "/hello"))
    assert status == 201
    assert '+  "uri": "/hello"' in proposal["difference"]
    assert proposal["effects"] == ["Requests to /hello meet mocking and go to no upstream."]
    assert gate.call("GET", "/hello", "")[0] != 200

    status, revision = _ask(gate, "POST", f"/api/proposals/{proposal['id']}/apply")
    assert (status, revision["changed"], revision["what"]) == (200, ["routes/1"], "a test")
    assert gate.call("GET", "/hello", "")[2] == b"hi"

    status, undone = _ask(gate, "POST", f"/api/routes/revisions/{revision['revision']}/undo")
    assert (status, undone["what"]) == (200, f"undo {revision['revision']}")
    assert gate.call("GET", "/hello", "")[0] != 200
    assert [each["what"] for each in _ask(gate, "GET", "/api/routes/revisions")[1]["data"]] == [
        undone["what"],
        "a test",
    ]


def test_steps_are_checked_together_and_what_is_wrong_is_said_word_for_word(gate: GateProcess) -> None:
    upstream = {
        "do": "put",
        "kind": "upstreams",
        "id": "u",
        "value": {"type": "roundrobin", "nodes": {"8.8.8.8:80": 1}},
    }
    route = {"do": "put", "kind": "routes", "id": "r", "value": {"uri": "/r", "upstream_id": "u"}}
    assert _propose(gate, upstream, route)[0] == 201
    status, refused = _propose(gate, route)
    assert (status, refused["error"]["message"]) == (
        400,
        "failed to fetch upstream info by upstream id [u], response code: 404",
    )


@pytest.mark.parametrize("node", ["127.0.0.1:80", "169.254.169.254:80", "10.0.0.1:80", "[::1]:80"])
def test_nodes_inside_are_refused_when_they_are_proposed(gate: GateProcess, node: str) -> None:
    upstream = {"do": "put", "kind": "upstreams", "id": "u", "value": {"type": "roundrobin", "nodes": {node: 1}}}
    status, refused = _propose(gate, upstream)
    assert status == 400
    assert "is not allowed" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "id", "value", "words"),
    [
        ("consumers", "x", {"username": "jack"}, "wrong username"),
        ("routes", "x", {"id": "y", "uri": "/x", "plugins": {}}, "wrong route id"),
    ],
)
def test_nothing_is_called_otherwise_than_it_calls_itself(
    gate: GateProcess, kind: str, id: str, value: dict[str, Any], words: str
) -> None:
    status, refused = _propose(gate, {"do": "put", "kind": kind, "id": id, "value": value})
    assert (status, refused["error"]["message"]) == (400, words)


def test_a_proposal_counts_only_on_top_of_what_it_was_made_for(gate: GateProcess) -> None:
    first, second = (_propose(gate, _put(id, "/hello"))[1]["id"] for id in ("1", "2"))
    assert _ask(gate, "POST", f"/api/proposals/{first}/apply")[0] == 200
    status, refused = _ask(gate, "POST", f"/api/proposals/{second}/apply")
    assert (status, refused["error"]["code"]) == (409, "revision_conflict")
    assert _ask(gate, "POST", f"/api/proposals/{first}/apply")[0] == 404


def test_a_discarded_proposal_is_gone(gate: GateProcess) -> None:
    id = _propose(gate, _put("1", "/hello"))[1]["id"]
    assert [each["id"] for each in _ask(gate, "GET", "/api/proposals")[1]["data"]] == [id]
    assert _ask(gate, "DELETE", f"/api/proposals/{id}")[0] == 200
    assert _ask(gate, "GET", f"/api/proposals/{id}")[0] == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"what": "x", "steps": []}, "1 to 50 steps"),
        ({"what": "x", "steps": [{"do": "put", "kind": "rout", "id": "1", "value": {}}]}, "Unsupported resource type"),
        ({"what": "x", "steps": [{"do": "put", "kind": "routes", "id": "1"}]}, "needs a value"),
        ({"what": "x", "steps": [{"do": "delete", "kind": "routes", "id": "1"}]}, "Key not found"),
        ({"what": "x", "steps": [_put("1", "/" + "a" * 300_000)]}, "bytes at most"),
        ({"steps": []}, "what"),
        ({"what": "x", "steps": [HIDDEN]}, "cannot be put back"),
    ],
)
def test_what_cannot_be_proposed_is_explained(gate: GateProcess, body: Any, words: str) -> None:
    status, refused = _ask(gate, "POST", "/api/proposals", body)
    assert status in (400, 404)
    assert words in refused["error"]["message"]
