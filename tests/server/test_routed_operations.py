"""Operations behind ordinary routes as tools at the gate's /mcp: which there are, what they ask, what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.routed import CONFIG, Site, telling
from kit.scripted import ScriptedUpstream
from kit.waiting import until

SPEAKER = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Conference", "version": "1"},
    "paths": {
        "/speaker/{id}": {
            "get": {
                "operationId": "getSpeaker",
                "summary": "Show a speaker.",
                "parameters": [
                    SPEAKER,
                    {"name": "answer-status", "in": "query", "schema": {"type": "string"}},
                    {"name": "answer-body", "in": "query", "schema": {"type": "string"}},
                    {"name": "X-Lang", "in": "header", "schema": {"type": "string"}},
                ],
            },
            "put": {
                "operationId": "putSpeaker",
                "parameters": [SPEAKER],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Speaker"}}},
                },
            },
            "delete": {"parameters": [SPEAKER]},
        },
        "/topic": {"get": {"operationId": "listTopics"}},
    },
    "components": {"schemas": {"Speaker": {"type": "object", "properties": {"name": {"type": "string"}}}}},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ScriptedUpstream(telling) as upstream, running_gate(tmp_path_factory.mktemp("gate"), CONFIG) as gate:
        yield Site(gate, upstream)


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """A key of the gate whose owner is a consumer, and a route with that consumer's key asked for."""
    site.put("consumers", {"username": "ada", "plugins": {"key-auth": {"key": "adas-own"}}})
    site.put("routes/speakers", _route(site, "/speaker/*", {"key-auth": {"hide_credentials": True}}))
    return site.gate.new_key(owner="ada")


def _route(site: Site, uri: str, plugins: Any = None, document: Any = DOCUMENT, **conf: Any) -> dict[str, Any]:
    source = {} if {"file", "url"} & set(conf) else {"openapi": document}
    tools = {"mcp-operations": {**source, **conf}}
    upstream = {"nodes": {site.node: 1}, "type": "roundrobin"}
    return {"uri": uri, "plugins": {**(plugins or {}), **tools}, "upstream": upstream}


def _post(gate: GateProcess, key: str, method: str, params: Any = None, **headers: str) -> Any:
    message = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    status, _, body = gate.call("POST", "/mcp", key, message, **headers)
    assert status == 200, body
    told = json.loads(body)
    return told.get("result", told.get("error"))


def _tools(site: Site, key: str) -> dict[str, Any]:
    return {tool["name"]: tool for tool in _post(site.gate, key, "tools/list")["tools"]}


def _use(site: Site, key: str, tool: str, /, *, sent: Any = None, **arguments: Any) -> Any:
    return _post(site.gate, key, "tools/call", {"name": tool, "arguments": arguments}, **(sent or {}))


def _words(result: Any) -> str:
    assert result["isError"], result
    found: str = result["content"][0]["text"]
    return found


def test_operations_that_the_route_takes_are_tools(site: Site, key: str) -> None:
    tools = _tools(site, key)
    assert {"getSpeaker", "putSpeaker", "delete_speaker_id"} <= set(tools)
    assert "listTopics" not in tools
    assert tools["getSpeaker"]["description"] == "Show a speaker."
    assert tools["getSpeaker"]["annotations"]["readOnlyHint"] is True
    assert tools["delete_speaker_id"]["annotations"]["destructiveHint"] is True
    taken = tools["putSpeaker"]["inputSchema"]
    assert taken["properties"]["body"] == {"$ref": "#/$defs/Speaker"}
    assert set(taken["required"]) == {"id", "body"}


def test_a_tool_call_is_a_request_to_the_route_under_the_callers_key(site: Site, key: str) -> None:
    result = _use(site, key, "getSpeaker", id=7, **{"X-Lang": "fr"}, sent={"cookie": "a=b", "x-trace": "t"})
    assert result["isError"] is False
    told = result["structuredContent"]
    assert (told["method"], told["path"]) == ("GET", "/speaker/7")
    assert (told["headers"]["x-lang"], told["headers"]["x-trace"]) == ("fr", "t")
    assert told["headers"]["x-consumer-username"] == "ada"
    assert key not in json.dumps(told)
    assert not {"authorization", "cookie", "mcp-method"} & set(told["headers"])
    told = _use(site, key, "putSpeaker", id=7, body={"name": "Ada"})["structuredContent"]
    assert (told["method"], json.loads(told["body"])) == ("PUT", {"name": "Ada"})
    assert told["headers"]["content-type"] == "application/json"


def test_what_the_route_refuses_is_told_word_for_word(site: Site, key: str) -> None:
    stranger = site.gate.new_key(name="stranger")
    assert _words(_use(site, stranger, "getSpeaker", id=7)) == '401 {"message":"Invalid API key in request"}'
    own = _use(site, stranger, "getSpeaker", id=7, sent={"apikey": "adas-own"})
    assert own["structuredContent"]["headers"]["x-consumer-username"] == "ada"
    answer = {"answer-status": "422", "answer-body": '{"error": "no such speaker"}'}
    assert _words(_use(site, key, "getSpeaker", id=7, **answer)) == '422 {"error": "no such speaker"}'


def test_arguments_that_cannot_be_are_told_and_reach_nobody(site: Site, key: str) -> None:
    before = len(site.upstream.requests)
    assert "expected integer" in _words(_use(site, key, "getSpeaker", id="../admin"))
    assert "required" in _words(_use(site, key, "getSpeaker"))
    assert "nothing" in _words(_use(site, key, "getSpeaker", id=7, nothing=1))
    assert "header" in _words(_use(site, key, "getSpeaker", id=7, **{"X-Lang": "a\r\nhost: evil"}))
    assert len(site.upstream.requests) == before


def test_limits_of_the_route_hold_for_tools(site: Site, key: str) -> None:
    limit = {"limit-count": {"count": 1, "time_window": 600, "rejected_code": 429, "key": "remote_addr"}}
    document = {**DOCUMENT, "paths": {"/limited": {"get": {"operationId": "getLimited"}}}}
    site.put("routes/limited", _route(site, "/limited", limit, document))
    assert _use(site, key, "getLimited")["isError"] is False
    assert _words(_use(site, key, "getLimited")).startswith("429")


def test_names_are_unique_and_fit_every_client(site: Site, key: str) -> None:
    long = "aVeryLongNameOfAnOperation" * 4
    paths = {"/named/a": {"get": {"operationId": long}}, "/named/b": {"get": {"operationId": long + "b"}}}
    document = {**DOCUMENT, "paths": {**paths, "/named/c": {"get": {"operationId": "getSpeaker"}}}}
    site.put("routes/tnamed", _route(site, "/named/*", {}, document))
    names = list(_tools(site, key))
    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 64
    assert {"getSpeaker", "getSpeaker_2"} <= set(names)
    told = _use(site, key, "getSpeaker_2")["structuredContent"]
    assert told["path"] == "/named/c"


def test_a_document_that_is_broken_is_refused_and_the_route_stays(site: Site, key: str) -> None:
    site.put("routes/kept", _route(site, "/kept", {}, {**DOCUMENT, "paths": {"/kept": {"get": {}}}}))
    for document, words in (
        ({"swagger": "2.0", "paths": {}}, "expected openapi 3.0 or 3.1, found 2.0"),
        ("{", "cannot be read"),
        ("openapi: &a 3.1.0\npaths: {a: *a}", "aliases"),
        ("paths: [", "neither JSON nor YAML"),
        ({"openapi": "3.1.0", "paths": {}}, "none of its operations"),
    ):
        status, _, body = site.gate.operator("PUT", "/apisix/admin/routes/kept", _route(site, "/kept", {}, document))
        assert status == 400
        assert words in json.loads(body)["error_msg"], body
    assert site.ask("/kept")[0] == 200
    two = {"mcp-operations": {"openapi": DOCUMENT, "file": "x"}}
    assert "one of openapi, file and url" in site.refused(two)
    assert "below the folder" in site.refused({"mcp-operations": {"file": "../operator.key"}})


def test_a_document_in_a_file_is_read_again_when_it_changes_and_a_broken_one_leaves_the_route(
    site: Site, key: str
) -> None:
    folder = site.gate.home / "openapi"
    site.put("routes/filed", _route(site, "/filed", file="filed.yaml"))
    assert not any("filed" in name for name in _tools(site, key))
    until(lambda: "the document cannot be read" in site.gate.log())
    folder.mkdir()
    (folder / "filed.yaml").write_text("openapi: 3.0.0\npaths:\n  /filed:\n    get: {operationId: filed}\n", "utf-8")
    assert "filed" in _tools(site, key)
    (folder / "filed.yaml").write_text("openapi: 3.0.0\npaths: [", "utf-8")
    assert "filed" in _tools(site, key)
    until(lambda: "neither JSON nor YAML" in site.gate.log())
    assert site.ask("/filed")[0] == 200
    (site.gate.home / "secret.yaml").write_text("openapi: 3.0.0\npaths:\n  /filed:\n    get: {operationId: leak}\n")
    (folder / "link.yaml").symlink_to(site.gate.home / "secret.yaml")
    site.put("routes/filed", _route(site, "/filed", file="link.yaml"))
    assert "leak" not in _tools(site, key)


def test_a_document_is_fetched_from_where_nodes_may_be(site: Site, key: str) -> None:
    document = {**DOCUMENT, "paths": {"/fetched": {"get": {"operationId": "fetched"}}}}
    url = f"http://{site.node}/openapi.json?answer-body={json.dumps(document).replace(' ', '')}"
    site.put("routes/fetched", _route(site, "/fetched", url=url))
    assert "fetched" in _tools(site, key)
    asked = len(site.upstream.requests)
    assert "fetched" in _tools(site, key)
    assert len(site.upstream.requests) == asked
    site.put("routes/fetched", _route(site, "/fetched", url="http://169.254.169.254/latest"))
    assert "fetched" not in _tools(site, key)
    until(lambda: "the document cannot be fetched" in site.gate.log())
    assert site.ask("/fetched")[0] == 200


def test_an_answer_that_is_too_long_is_not_given(site: Site, key: str) -> None:
    document = {**DOCUMENT, "paths": {"/long": {"get": {"operationId": "getLong"}}}}
    site.put("routes/long", _route(site, "/long", {}, document, max_answer_bytes=20))
    assert _words(_use(site, key, "getLong")) == "The answer has more than 20 bytes: ask for less."
