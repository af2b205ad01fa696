"""Callers of /mcp and of the operator port are slowed down, each for itself."""

import json
from pathlib import Path

import pytest

from kit.gate import request, running_gate
from tollkeeper.core.errors import CallerError
from tollkeeper.mcp.pacing import Pacing


def test_a_caller_may_come_so_often_and_then_has_to_wait() -> None:
    now, per_minute = 100.0, 30
    pacing = Pacing(lambda: per_minute, lambda: now)
    for _ in range(30):
        pacing.take("ada")
    with pytest.raises(CallerError) as raised:
        pacing.take("ada")
    assert (raised.value.status, raised.value.headers) == (429, ((b"retry-after", b"2"),))
    pacing.take("bob")
    now += 2
    pacing.take("ada")
    with pytest.raises(CallerError):
        pacing.take("ada")
    per_minute = 60
    pacing.take("ada")


def test_the_operator_port_is_asked_so_often_and_says_when_to_come_again(tmp_path: Path) -> None:
    with running_gate(tmp_path, "[server]\noperator_per_minute = 1\n") as gate:
        looks = {"x-api-key": (gate.home / "viewer.key").read_text("utf-8").strip()}
        first = gate.operator("GET", "/api/keys")[0]
        status, headers, body = gate.operator("GET", "/api/keys")
        admin = gate.operator("GET", "/apisix/admin/routes")
        viewer = request("GET", gate.operator_url + "/apisix/admin/routes", looks)[0]
        alive = request("GET", gate.operator_url + "/healthz", {})[0]

    assert first == 200
    assert (status, headers["retry-after"], json.loads(body)["error"]["code"]) == (429, "60", "rate_limit_exceeded")
    assert (admin[0], admin[1]["retry-after"], list(json.loads(admin[2]))) == (429, "60", ["error_msg"])
    assert (viewer, alive) == (200, 200)


def test_a_key_lists_tools_so_often_and_is_told_when_to_come_again(tmp_path: Path) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with running_gate(tmp_path, "[mcp]\nkey_calls_per_minute = 1\n") as gate:
        one, other = gate.new_key(), gate.new_key()
        statuses = [gate.call("POST", "/mcp", key, asked)[0] for key in (one, other)]
        status, headers, body = gate.call("POST", "/mcp", one, asked)

    assert statuses == [200, 200]
    assert (status, headers["retry-after"], json.loads(body)["error"]["code"]) == (429, "60", "rate_limit_exceeded")
