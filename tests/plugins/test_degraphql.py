"""degraphql against a real GraphQL server: graphql-core behind a socket."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLResolveInfo, build_schema, graphql_sync

from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer

SCHEMA = build_schema(
    """
    type Speaker { id: Int! name: String! }
    type Query { speaker(id: Int!): Speaker  speakers(first: Int, active: Boolean): [Speaker!]! }
    """
)


class Root:
    def speaker(self, info: GraphQLResolveInfo, id: int) -> dict[str, Any]:
        return {"id": id, "name": f"speaker {id}"}

    def speakers(self, info: GraphQLResolveInfo, first: int = 2, active: bool = False) -> list[dict[str, Any]]:
        return [{"id": each, "name": "active" if active else "any"} for each in range(first)]


def execute(asked: Request, connection: Connection) -> bool | None:
    assert asked.method == "POST"
    body = asked.json()
    done = graphql_sync(SCHEMA, body["query"], Root(), None, body.get("variables"), body.get("operationName"))
    return json_answer(400 if done.errors else 200, done.formatted)(asked, connection)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(execute) as made:
        yield made


def route(site: Site, server: ScriptedUpstream, **conf: Any) -> str:
    nodes = {"nodes": {f"127.0.0.1:{server.port}": 1}, "type": "roundrobin"}
    return site.route({"degraphql": conf}, upstream=nodes)


def test_variables_of_a_get_have_their_declared_types(site: Site, server: ScriptedUpstream) -> None:
    query = "query One($id: Int!) { speaker(id: $id) { id name } } query Two { speakers { id } }"
    path = route(site, server, query=query, variables=["id"], operation_name="One")
    assert site.told(path + "?id=7") == {"data": {"speaker": {"id": 7, "name": "speaker 7"}}}
    assert site.ask(path + "?id=seven")[0] == 400
    query = "query($n: Int, $on: Boolean) { speakers(first: $n, active: $on) { name } }"
    path = route(site, server, query=query, variables=["n", "on"])
    assert site.told(path + "?n=1&on=true") == {"data": {"speakers": [{"name": "active"}]}}


def test_variables_of_a_post_come_from_its_body(site: Site, server: ScriptedUpstream) -> None:
    path = route(site, server, query="query($id: Int!) { speaker(id: $id) { name } }", variables=["id"])
    assert site.told(path, "POST", {"id": 3, "more": 1}) == {"data": {"speaker": {"name": "speaker 3"}}}
    assert site.ask(path, "POST", b"{")[0] == 400


def test_a_query_without_variables_and_a_method_that_is_none(site: Site, server: ScriptedUpstream) -> None:
    path = route(site, server, query="{ speakers { id } }")
    assert json.loads(site.ask(path)[2]) == {"data": {"speakers": [{"id": 0}, {"id": 1}]}}
    assert site.ask(path, "DELETE")[0] == 405


def test_a_query_that_cannot_be_one_is_refused(site: Site) -> None:
    assert "failed to parse query" in site.refused({"degraphql": {"query": "{ speakers { id }"}})


def test_of_several_operations_one_must_be_named(site: Site, server: ScriptedUpstream) -> None:
    several = "query A { speakers { id } } query B { speakers { name } }"
    assert "operation_name is required" in site.refused({"degraphql": {"query": several}})
    one = 'fragment F on Speaker { id } # } { \n query A($a: In = {on: "}{"}) { speakers { ...F } }'
    route(site, server, query=one)
