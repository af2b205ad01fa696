"""Revisions of routes by REST, and who may do what."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, request, running_gate

ROUTE = {"uri": "/one", "plugins": {"mocking": {"response_example": "one", "content_type": "text/plain"}}}


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("routed")) as running:
        yield running


def asked(gate: GateProcess, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON."""
    status, _, answer = gate.operator(method, path, body)
    return status, json.loads(answer)


def test_every_change_is_a_revision_that_can_be_taken_back(routed: GateProcess) -> None:
    asked(routed, "PUT", "/apisix/admin/routes/1", ROUTE)
    asked(routed, "PATCH", "/apisix/admin/routes/1", {"desc": "changed"})
    changed, made = asked(routed, "GET", "/api/routes/revisions")[1]["data"][:2]

    assert (changed["face"], changed["what"], made["what"]) == ("admin", "PATCH routes/1", "PUT routes/1")
    assert '+  "desc": "changed"' in changed["difference"]
    assert asked(routed, "POST", f"/api/routes/revisions/{made['number']}/undo")[0] == 409
    status, undone = asked(routed, "POST", f"/api/routes/revisions/{changed['number']}/undo")
    assert (status, undone["what"], undone["face"]) == (200, f"undo {changed['number']}", "rest")
    assert "desc" not in asked(routed, "GET", "/apisix/admin/routes/1")[1]["value"]
    assert asked(routed, "GET", "/api/routes/revisions/999999")[0] == 404


def test_a_write_is_effective_when_it_is_answered(routed: GateProcess) -> None:
    for words in ("one", "two", "three"):
        route = {"uri": "/now", "plugins": {"mocking": {"response_example": words, "content_type": "text/plain"}}}
        asked(routed, "PUT", "/apisix/admin/routes/now", route)
        assert request("GET", routed.url + "/now", {})[2] == words.encode()


def test_everything_can_be_replaced_at_once_after_a_look_at_the_difference(routed: GateProcess) -> None:
    asked(routed, "PUT", "/apisix/admin/routes/1", ROUTE)
    wanted = {"routes": {"2": {"uri": "/two", "plugins": ROUTE["plugins"]}}}

    status, dry = asked(routed, "PUT", "/api/routes?dry=1", wanted)
    assert status == 200
    assert {(change["kind"], change["id"]) for change in dry["changes"]} >= {("routes", "1"), ("routes", "2")}
    assert "1" in asked(routed, "GET", "/api/routes")[1]["resources"]["routes"]

    asked(routed, "PUT", "/api/routes", wanted)
    assert list(asked(routed, "GET", "/api/routes")[1]["resources"]["routes"]) == ["2"]
    assert asked(routed, "PUT", "/api/routes", {"routes": {"3": {"uri": "/", "service_id": "none"}}})[0] == 400


def test_a_viewer_looks_and_changes_nothing(routed: GateProcess) -> None:
    key = (routed.home / "viewer.key").read_text("ascii").strip()
    url = routed.operator_url + "/apisix/admin/routes"

    assert request("GET", url, {"x-api-key": key})[0] == 200
    status, _, body = request("PUT", url + "/1", {"x-api-key": key}, ROUTE)
    assert (status, json.loads(body)["description"]) == (401, "invalid method for role viewer")
    assert request("GET", routed.operator_url + "/api/keys", {"x-api-key": key})[0] == 401
    assert request("GET", f"{url}?api_key={routed.operator_key}", {})[0] == 200
    cookie = {"cookie": f"x_api_key={routed.operator_key}"}
    assert request("GET", url, cookie)[0] == 200
    own = routed.operator_url.removeprefix("http://")
    for page, status in (
        ({"origin": "http://" + own, "host": own}, 200),
        ({"origin": "https://evil.example"}, 401),
        ({"origin": "http://evil.example", "host": "evil.example"}, 401),
        ({"origin": "null"}, 401),
        ({"sec-fetch-site": "cross-site"}, 401),
        ({"sec-fetch-site": "same-origin"}, 200),
    ):
        assert request("GET", url, {**cookie, **page})[0] == status, page


@pytest.mark.parametrize("number", ["0", "99999999999999999999", "%C2%B2", "x"])
def test_a_number_of_no_revision_is_not_found(routed: GateProcess, number: str) -> None:
    status, _, body = routed.operator("POST", f"/api/routes/revisions/{number}/undo")
    assert (status, json.loads(body)["error"]["code"]) == (404, "revision_not_found")


def test_revisions_and_routes_survive_the_gate(routed: GateProcess) -> None:
    asked(routed, "PUT", "/apisix/admin/routes/1", ROUTE)
    before = asked(routed, "GET", "/api/routes")[1]
    routed.stop()
    routed.start()

    assert asked(routed, "GET", "/api/routes")[1] == before
    assert request("GET", routed.url + "/one", {})[2] == b"one"


def test_a_path_that_goes_on_behind_an_id_writes_and_deletes_nothing(routed: GateProcess) -> None:
    assert routed.operator("PUT", "/apisix/admin/consumers", {"username": "jim"})[0] == 201

    for method, path in (("DELETE", "consumers/jim/credential/1"), ("PUT", "routes/x%2Fy")):
        status, _, body = routed.operator(method, "/apisix/admin/" + path, {"uri": "/x", "plugins": {}})
        assert (status, b"invalid sub-path: /" in body) == (400, True)

    assert routed.operator("GET", "/apisix/admin/consumers/jim")[0] == 200
    assert routed.operator("GET", "/apisix/admin/routes/x")[0] == 404
