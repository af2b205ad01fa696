"""What chat clients import: a small OpenAPI document in both spellings, a manifest, a logo; and which pages may use it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kit.gate import GateProcess, request, running_gate

ORIGIN = "https://chat.example"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = f'[mcp]\norigins = ["{ORIGIN}"]\ncontact = "ops@team.example"\n'
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


def _get(gate: GateProcess, path: str) -> tuple[int, dict[str, str], bytes]:
    return request("GET", gate.operator_url + path, {})


def _operations(document: Any) -> dict[str, tuple[str, str]]:
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_small_and_the_same_in_both_spellings(gate: GateProcess) -> None:
    status, headers, body = _get(gate, "/openapi.json")
    document = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": gate.operator_url}]
    assert len(_operations(document)) <= 15
    assert len(body) <= 100_000
    assert {"getAllRoutes", "createRoute", "getRouteById"} <= set(_operations(document))
    summaries = [each["summary"] for methods in document["paths"].values() for each in methods.values()]
    assert max(map(len, summaries)) <= 300
    spelt = _get(gate, "/openapi.yaml")
    assert spelt[1]["content-type"].startswith("application/yaml")
    assert yaml.safe_load(spelt[2]) == document
    assert not any(isinstance(token, yaml.AliasToken) for token in yaml.scan(spelt[2]))


def test_every_operation_is_there_and_behind_a_key(gate: GateProcess) -> None:
    for method, path in _operations(json.loads(_get(gate, "/openapi.json")[2])).values():
        url = gate.operator_url + path.replace("{id}", "1").replace("{name}", "mocking").replace("{number}", "1")
        assert request(method, url, {})[0] == 401, path
        status, _, body = request(method, url, {"x-api-key": gate.operator_key}, {} if method != "GET" else None)
        assert status != 405, path
        assert b"There is nothing at this path" not in body, path


def test_a_client_that_knows_only_get_and_post_makes_a_route_by_the_document(gate: GateProcess) -> None:
    operations = _operations(json.loads(_get(gate, "/openapi.json")[2]))
    key = {"x-api-key": gate.operator_key}
    route = {"uri": "/greeting", "plugins": {"mocking": {"response_example": "hi"}}}
    method, path = operations["createRoute"]
    status, _, made = request(method, gate.operator_url + path, key, route)
    assert status == 201
    id = json.loads(made)["value"]["id"]
    method, path = operations["getRouteById"]
    assert json.loads(request(method, gate.operator_url + path.format(id=id), key)[2])["value"]["uri"] == "/greeting"
    method, path = operations["getAllRoutes"]
    assert json.loads(request(method, gate.operator_url + path, key)[2])["total"] == 1
    assert gate.call("GET", "/greeting", "")[2] == b"hi"


def test_what_is_read_by_the_document_has_no_secret_in_it(gate: GateProcess) -> None:
    key = {"x-api-key": gate.operator_key}
    consumer = {"username": "jack", "plugins": {"key-auth": {"key": "s3cr3t-key"}}}
    assert request("PUT", gate.operator_url + "/apisix/admin/consumers", key, consumer)[0] == 201
    for name, (method, path) in _operations(json.loads(_get(gate, "/openapi.json")[2])).items():
        if method == "GET":
            url = gate.operator_url + path.replace("{id}", "1").replace("{name}", "key-auth")
            body = request(method, url, key)[2]
            assert b"s3cr3t-key" not in body, name
    found = json.loads(request("GET", gate.operator_url + "/api/resources/consumers/jack", key)[2])
    assert found["value"]["plugins"]["key-auth"] == {"key": "[hidden]"}
    assert request("GET", gate.operator_url + "/api/resources/nothing", key)[0] == 404
    assert request("GET", gate.operator_url + "/api/resources/routes?page=x", key)[0] == 400


def test_a_change_by_the_document_is_a_revision_and_shows_no_secret(gate: GateProcess) -> None:
    plugins = {
        "mocking": {"response_example": "hi"},
        "proxy-rewrite": {"headers": {"set": {"Authorization": "s3cret"}}},
    }
    assert gate.operator("PUT", "/apisix/admin/routes/changing", {"uri": "/changing", "plugins": plugins})[0] == 201
    path = "/api/resources/routes/changing"

    status, _, body = gate.operator("PATCH", path, {"plugins": {"mocking": {"response_example": "ho"}}})

    assert (status, b"s3cret" in body) == (200, False)
    assert json.loads(body)["face"] == "rest"
    assert request("GET", gate.url + "/changing", {})[2] == b"ho"
    given = json.loads(gate.operator("GET", "/apisix/admin/routes/changing")[2])["value"]["plugins"]["proxy-rewrite"]
    assert given == plugins["proxy-rewrite"]
    shown = json.loads(body)["value"]["plugins"]
    for wrong in ({"plugins": shown}, {"uri": 5}, [1]):
        assert gate.operator("PATCH", path, wrong)[0] == 400
    assert gate.operator("PATCH", "/api/resources/routes/nothing", {"desc": "x"})[0] == 404


def test_the_manifest_leads_to_the_document_and_the_logo(gate: GateProcess) -> None:
    manifest = json.loads(_get(gate, "/.well-known/ai-plugin.json")[2])
    assert manifest["contact_email"] == "ops@team.example"
    assert manifest["auth"]["type"] != "none"
    for address in (manifest["api"]["url"], manifest["logo_url"]):
        assert _get(gate, address.removeprefix(gate.operator_url))[0] == 200
    status, headers, logo = _get(gate, "/logo.png")
    assert (status, headers["content-type"], logo[:8]) == (200, "image/png", b"\x89PNG\r\n\x1a\n")


def test_pages_that_the_config_names_may_use_it_and_others_may_not(gate: GateProcess) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    status, headers, _ = request("OPTIONS", gate.operator_url + "/api/proposals", asked)
    assert (status, headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert "x-api-key" in headers["access-control-allow-headers"]
    status, headers, _ = request("OPTIONS", gate.operator_url + "/apisix/admin/routes/1", asked)
    assert (status, headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert {"PUT", "PATCH", "DELETE"} <= set(headers["access-control-allow-methods"].split(", "))
    key = {"x-api-key": gate.operator_key}
    _, headers, _ = request(
        "OPTIONS", gate.operator_url + "/apisix/admin/routes/1", {**asked, "origin": "https://evil.example", **key}
    )
    assert not any(name.startswith("access-control-") for name in headers)
    _, headers, _ = request("GET", gate.operator_url + "/mcp", {"origin": ORIGIN})
    assert "www-authenticate" in headers["access-control-expose-headers"]
    _, headers, _ = request("GET", gate.operator_url + "/api/proposals", {"origin": ORIGIN, **key})
    assert headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in headers
    _, headers, _ = request("GET", gate.operator_url + "/api/proposals", {"origin": "https://evil.example", **key})
    assert "access-control-allow-origin" not in headers
