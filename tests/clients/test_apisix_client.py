"""apisix-client for Python, made for APISIX, against our Admin API; and curl, sending forms as APISIX's own tests do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clients.environments import HERE, OPERATORS, answer_of, needs_curl, needs_operators, run
from kit.gate import GateProcess, request, running_gate
from kit.routed import CONFIG, telling
from kit.scripted import ScriptedUpstream


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG) as running:
        yield running


@needs_operators
def test_everything_that_it_can_do_is_done(gate: GateProcess) -> None:
    with ScriptedUpstream(telling) as upstream:
        job = {"url": gate.operator_url + "/", "key": gate.operator_key, "node": ["127.0.0.1", upstream.port]}
        found = answer_of([str(OPERATORS), str(HERE / "apisix_client_jobs.py")], job, {}, 120)
        keyed = [request("GET", gate.url + "/a/b", {"apikey": "s3cr3t"})[0] for _ in range(3)]

        assert request("GET", gate.url + "/a/b", {})[0] == 401
    assert found == {
        "upstream": True,
        "named": "named",
        "service": "s",
        "route": ["/b", True],
        "indexes": True,
        "wrong": None,
        "missing": None,
        "listed": [1, 2, 0],
        "consumer": True,
        "keyed": "a",
        "counts": [2, 2, 1, 1],
        "plugins": True,
        "reloaded": True,
        "deleted": [1, 1, False],
    }
    assert keyed == [200, 200, 429]


@needs_curl
def test_curl_with_a_forms_content_type_is_understood(gate: GateProcess) -> None:
    def curl(*arguments: str) -> Any:
        key = f"X-API-KEY: {gate.operator_key}"
        done = run(["curl", "--silent", "--noproxy", "*", "-H", key, *arguments], {})
        return json.loads(done.stdout)

    url = gate.operator_url + "/apisix/admin/routes/hi"
    route = '{"uri": "/hi", "plugins": {"mocking": {"response_example": "hi"}}}'

    assert curl(url, "-X", "PUT", "-d", route)["key"] == "/apisix/routes/hi"
    assert curl(url, "-X", "PATCH", "-d", '{"name": "greeting"}')["value"]["name"] == "greeting"
    assert curl(url + "/methods", "-X", "PATCH", "-d", '["GET"]')["value"]["methods"] == ["GET"]
    assert curl(url, "-X", "PUT", "-d", "{")["req_body"] == "{"
    assert curl(url, "-X", "DELETE") == {"deleted": "1", "key": "/apisix/routes/hi"}
    assert curl(url) == {"message": "Key not found"}
