"""Keys over REST: a secret is shown once, and what is revoked, rotated or expired is refused at once."""

import json
import re
import time
from typing import Any

import pytest

from kit.gate import GateProcess
from kit.scripted import ScriptedUpstream

ASK = {"model": "gpt-4o-mini", "messages": []}


def _create(gate: GateProcess, **fields: Any) -> dict[str, Any]:
    status, _, body = gate.operator("POST", "/api/keys", {"name": "someone", **fields})
    assert status == 201, body
    made: dict[str, Any] = json.loads(body)
    return made


def _get(gate: GateProcess, path: str) -> Any:
    status, _, body = gate.operator("GET", path)
    assert status == 200, body
    return json.loads(body)


def _opens(gate: GateProcess, secret: str) -> bool:
    status, _, body = gate.call("POST", "/v1/chat/completions", secret, ASK)
    assert status in (200, 401), body
    return status == 200


def test_a_new_key_has_what_it_was_given_and_works_at_once(gate: GateProcess) -> None:
    expires = int(time.time() * 1000) + 3_600_000
    made = _create(gate, name="Ada's bot", owner="ada", team="a/b", models=["gpt-4o-mini", "x*"], expires_at=expires)
    secret = made.pop("key")

    assert re.fullmatch(r"tk-[A-Za-z0-9_-]{43}", secret)
    assert made["shown"] == secret[:10] + "…"
    assert (made["name"], made["owner"], made["team"]) == ("Ada's bot", "ada", "a/b")
    assert (made["models"], made["expires_at"], made["revoked_at"]) == (["gpt-4o-mini", "x*"], expires, None)
    assert abs(made["created_at"] / 1000 - time.time()) < 60
    assert _opens(gate, secret)
    assert _get(gate, f"/api/keys/{made['id']}") == made


def test_a_key_without_more_than_a_name_is_unlimited(gate: GateProcess) -> None:
    made = _create(gate)

    assert [made[field] for field in ("owner", "team", "models", "expires_at", "revoked_at")] == [None] * 5


def test_all_keys_are_listed_oldest_first_the_revoked_too(gate: GateProcess) -> None:
    first, second = _create(gate)["id"], _create(gate)["id"]
    gate.operator("DELETE", f"/api/keys/{first}")

    listed = _get(gate, "/api/keys")["data"]

    assert [key["id"] for key in listed if key["id"] in (first, second)] == [first, second]
    assert [key["revoked_at"] is None for key in listed if key["id"] in (first, second)] == [False, True]


def test_a_secret_is_in_no_answer_but_the_first_and_in_no_file(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    made = _create(gate, name="canary")
    rotated = json.loads(gate.operator("POST", f"/api/keys/{made['id']}/rotate")[2])
    assert _opens(gate, rotated["key"])
    gate.events_once(1)
    said = b"".join(
        gate.operator(method, path)[2]
        for method, path in [
            ("GET", "/api/keys"),
            ("GET", f"/api/keys/{made['id']}"),
            ("GET", "/api/usage"),
            ("GET", "/api/events"),
            ("GET", "/metrics"),
            ("DELETE", f"/api/keys/{made['id']}"),
        ]
    )
    kept = b"".join(path.read_bytes() for path in gate.home.iterdir())

    for secret in (made["key"], rotated["key"]):
        for place in (said, kept, gate.log().encode(), str(upstream.requests).encode()):
            assert secret.encode() not in place
            assert secret[10:].encode() not in place
    assert b'"digest"' not in said


def test_a_revoked_key_is_refused_at_once_and_for_good(gate: GateProcess) -> None:
    made = _create(gate)
    assert _opens(gate, made["key"])

    status, _, body = gate.operator("DELETE", f"/api/keys/{made['id']}")

    assert status == 200
    revoked = json.loads(body)
    assert abs(revoked["revoked_at"] / 1000 - time.time()) < 60
    assert not _opens(gate, made["key"])
    assert json.loads(gate.operator("DELETE", f"/api/keys/{made['id']}")[2]) == revoked
    status, _, body = gate.operator("POST", f"/api/keys/{made['id']}/rotate")
    assert (status, json.loads(body)["error"]["code"]) == (409, "key_revoked")


def test_a_rotated_key_has_a_new_secret_and_the_old_one_ends_at_once(gate: GateProcess) -> None:
    made = _create(gate, owner="eve", models=["gpt-4o-mini"])

    status, _, body = gate.operator("POST", f"/api/keys/{made['id']}/rotate")
    rotated = json.loads(body)

    assert status == 200
    assert rotated["key"] != made["key"]
    assert not _opens(gate, made["key"])
    assert _opens(gate, rotated["key"])
    same = ("id", "name", "owner", "models", "created_at")
    assert [rotated[field] for field in same] == [made[field] for field in same]
    assert rotated["shown"] == rotated["key"][:10] + "…"


def test_an_expired_key_is_refused_from_its_moment_on(gate: GateProcess) -> None:
    expires = int(time.time() * 1000) + 1500
    made = _create(gate, expires_at=expires)
    assert _opens(gate, made["key"])

    time.sleep(max(0.0, expires / 1000 - time.time()))

    assert not _opens(gate, made["key"])
    assert _get(gate, f"/api/keys/{made['id']}")["revoked_at"] is None


def test_revoked_rotated_expired_and_unknown_secrets_get_the_very_same_answer(gate: GateProcess) -> None:
    revoked, rotated = _create(gate), _create(gate)
    gate.operator("DELETE", f"/api/keys/{revoked['id']}")
    gate.operator("POST", f"/api/keys/{rotated['id']}/rotate")

    answers = {
        gate.call("POST", "/v1/chat/completions", secret, ASK)[2]
        for secret in (revoked["key"], rotated["key"], "tk-" + "a" * 43, "nonsense")
    }

    assert len(answers) == 1


def test_keys_of_one_name_are_told_apart_by_id(gate: GateProcess) -> None:
    first, second = _create(gate, name="twin"), _create(gate, name="twin")

    for method, path in [("GET", "/api/keys/twin"), ("DELETE", "/api/keys/twin"), ("POST", "/api/keys/twin/rotate")]:
        status, _, body = gate.operator(method, path)
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (409, "key_ambiguous")
        assert first["id"] in error["message"]
        assert second["id"] in error["message"]
    gate.operator("DELETE", f"/api/keys/{first['id']}")
    assert not _opens(gate, first["key"])
    assert _opens(gate, second["key"])


def test_a_key_is_found_by_a_name_that_it_alone_has(gate: GateProcess) -> None:
    made = _create(gate, name="the only one")

    assert _get(gate, "/api/keys/the%20only%20one")["id"] == made["id"]


def test_a_name_that_is_another_keys_id_does_not_stand_in_for_it(gate: GateProcess) -> None:
    victim = _create(gate)
    _create(gate, name=victim["id"])

    assert _get(gate, f"/api/keys/{victim['id']}")["name"] == "someone"


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/rotate")])
def test_a_key_that_is_not_there(gate: GateProcess, method: str, path: str) -> None:
    status, _, body = gate.operator(method, f"/api/keys/key_0000{path}")

    assert (status, json.loads(body)["error"]["code"]) == (404, "key_not_found")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"owner": ""}, "owner"),
        ({"team": "\t"}, "team"),
        ({"models": ["gpt-4o", ""]}, "models"),
        ({"models": ["a\x00"]}, "models"),
        ({"models": ["m"] * 1001}, "models"),
        ({"expires_at": 0}, "expires_at"),
        ({"expires_at": -1}, "expires_at"),
        ({"expires_at": 1_700_000_000_000}, "expires_at"),
        ({"expires_at": 2**63}, "expires_at"),
        ({"expires_at": 10**300}, "expires_at"),
    ],
)
def test_what_a_key_cannot_have_is_named(gate: GateProcess, fields: dict[str, Any], param: str) -> None:
    status, _, body = gate.operator("POST", "/api/keys", {"name": "x", **fields})

    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "invalid_value", param)


def test_a_key_of_no_models_may_use_none(gate: GateProcess) -> None:
    made = _create(gate, models=[])

    status, _, body = gate.call("POST", "/v1/chat/completions", made["key"], ASK)

    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")


def test_budgets_and_limits_are_given_shown_and_changed(gate: GateProcess) -> None:
    made = _create(gate, name="bounded", budgets=["5 USD/month"], limits=["60 requests/minute"], team="t")
    path = f"/api/keys/{made['id']}"

    status, _, body = gate.operator("PATCH", path, {"budgets": ["0.5 usd/day soft", "9 tokens"], "team": None})

    assert (made["budgets"], made["limits"], made["team"]) == (["5 USD/month"], ["60 requests/minute"], "t")
    assert status == 200
    changed = json.loads(body)
    assert changed["budgets"] == ["0.5 USD/day soft", "9 tokens"]
    assert (changed["limits"], changed["team"]) == (["60 requests/minute"], None)
    assert _get(gate, path) == changed
    assert "key" not in changed


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"budgets": ["5 EUR/month"]}, "invalid_value", "budgets"),
        ({"limits": ["5 beans/minute"]}, "invalid_value", "limits"),
        ({"models": []}, None, None),
        ({"budget": ["5 USD"]}, "invalid_body", None),
        ({"name": None}, "invalid_body", None),
        ({"budgets": None}, "invalid_body", None),
        ([], "invalid_body", None),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    gate: GateProcess, body: Any, code: str | None, param: str | None
) -> None:
    made = _create(gate, budgets=["5 USD/month"])
    path = f"/api/keys/{made['id']}"

    status, _, answer = gate.operator("PATCH", path, body)

    if code is None:
        assert status == 200
        return
    error = json.loads(answer)["error"]
    assert (status, error["code"], error["param"]) == (400, code, param)
    assert made.pop("key")
    assert _get(gate, path) == made


def test_a_key_that_is_moved_to_other_models_is_so_at_once(gate: GateProcess) -> None:
    made = _create(gate, models=["gpt-4o-mini"])
    assert _opens(gate, made["key"])

    gate.operator("PATCH", f"/api/keys/{made['id']}", {"models": ["alias"]})

    assert gate.call("POST", "/v1/chat/completions", made["key"], ASK)[0] == 404
