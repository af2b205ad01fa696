"""The newest MCP client, and one of the era of `initialize`, on both of the gate's /mcp."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clients.environments import HERE, MCP1, OPERATORS, answer_of, needs_mcp1, needs_operators
from kit.gate import GateProcess, running_gate

CONFIG = """
[apis.greet]
description = "Says a greeting to somebody."
model = "demo"
prompt = "Say hello to {{ name }}."
input = { name = "string" }

[routes.speakers]
uri = "/speaker/*"
[routes.speakers.plugins.mocking]
response_example = '{"name": "Ada"}'
[routes.speakers.plugins.mcp-operations.openapi]
openapi = "3.1.0"
[routes.speakers.plugins.mcp-operations.openapi.paths."/speaker/{id}".get]
operationId = "getSpeaker"
parameters = [{ name = "id", in = "path", required = true, schema = { type = "integer" } }]
"""
CLIENTS = [
    pytest.param([str(OPERATORS), str(HERE / "mcp_newest.py")], "2026-07-28", id="newest", marks=needs_operators),
    pytest.param([str(MCP1), str(HERE / "mcp_1.py")], "2025-03-26", id="1.9", marks=needs_mcp1),
]
ROUTE = {"uri": "/hi", "plugins": {"mocking": {"response_example": "hi"}}}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG, {}, "--demo") as running:
        yield running


@pytest.mark.parametrize(("client", "revision"), CLIENTS)
def test_routes_are_proposed_by_operators_and_apis_used_by_callers(
    gate: GateProcess, client: list[str], revision: str
) -> None:
    steps = [{"do": "put", "kind": "routes", "id": "hi", "value": ROUTE}]
    looked: list[Any] = [
        ("propose_changes", {"what": "a greeting", "steps": steps}),
        ("get_resource", {"kind": "routes", "id": "none"}),
    ]
    servers = [
        {"url": gate.operator_url + "/mcp", "key": gate.operator_key, "calls": looked},
        {
            "url": gate.url + "/mcp",
            "key": gate.about["demo_key"],
            "calls": [("greet", {"name": "Ada"}), ("greet", {})],
        },
    ]

    # One process for both: much of what this costs is the client's start.
    administration, published = answer_of(client, {"servers": servers}, {}, 120)

    assert (administration["revision"], administration["server"]) == (revision, "tollkeeper-admin")
    assert administration["tools"]["list_resources"] is True
    assert administration["tools"]["apply_proposal"] is not True
    proposed, missing = administration["results"]
    assert not proposed["failed"]
    assert json.loads(proposed["text"])["effects"] == ["Requests to /hi meet mocking and go to no upstream."]
    if "structured" in proposed:
        assert proposed["structured"] == json.loads(proposed["text"])
    assert (missing["failed"], missing["text"]) == (True, "Key not found")

    assert published["revision"] == revision
    assert "greet" in published["tools"]
    greeted, wrong = published["results"]
    assert not greeted["failed"]
    assert "Ada" in greeted["text"]
    assert wrong["failed"]
    assert "name" in wrong["text"]


@pytest.mark.parametrize(("client", "revision"), CLIENTS)
def test_an_operation_behind_a_route_is_used_as_a_tool(gate: GateProcess, client: list[str], revision: str) -> None:
    calls = [("getSpeaker", {"id": 7}), ("getSpeaker", {"id": "seven"})]
    servers = [{"url": gate.url + "/mcp", "key": gate.about["demo_key"], "calls": calls}]

    [found] = answer_of(client, {"servers": servers}, {}, 120)

    assert found["revision"] == revision
    assert found["tools"]["getSpeaker"] is True
    shown, wrong = found["results"]
    assert (shown["failed"], json.loads(shown["text"])) == (False, {"name": "Ada"})
    assert (wrong["failed"], "integer" in wrong["text"]) == (True, True)
