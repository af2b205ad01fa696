"""OAuth at the operator port's /mcp, against a small real issuer: who gets in, to which tools, and what others are told."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kit.gate import GateProcess, request, running_gate
from kit.issuer import KEYS, TokenIssuer
from kit.waiting import until

RESOURCE = "https://gate.example/mcp"
READ, WRITE = "tollkeeper:read", "tollkeeper:write"
PLACE = 'resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp"'
ROUTE = {
    "do": "put",
    "kind": "routes",
    "id": "hello",
    "value": {"uri": "/hello", "plugins": {"mocking": {"response_example": "hi"}}},
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as made:
        yield made


@pytest.fixture(scope="module")
def gate(issuer: TokenIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = f"""
    [mcp.oauth]
    issuer = "{issuer.url}"
    resource = "{RESOURCE}"
    look_again_seconds = 0
    leeway_seconds = 0
    """
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


def _post(gate: GateProcess, token: str | None, method: str, params: Any = None) -> tuple[int, dict[str, str], Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params})}
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    status, answered, body = request("POST", gate.operator_url + "/mcp", headers, message)
    return status, answered, json.loads(body)


def _good(issuer: TokenIssuer, scope: str | None = READ, **claims: Any) -> str:
    return issuer.token(**{"aud": RESOURCE, "scope": scope, **claims})


def _names(gate: GateProcess, token: str) -> set[str]:
    status, _, told = _post(gate, token, "tools/list")
    assert status == 200, told
    return {tool["name"] for tool in told["result"]["tools"]}


def test_who_shows_nothing_is_led_to_the_issuer(gate: GateProcess, issuer: TokenIssuer) -> None:
    status, headers, told = _post(gate, None, "tools/list")
    assert (status, told["error"]["code"]) == (401, "invalid_token")
    assert headers["www-authenticate"] == f'Bearer {PLACE}, scope="{READ} {WRITE}"'
    for path in ("", "/mcp"):
        url = gate.operator_url + "/.well-known/oauth-protected-resource" + path
        status, _, body = request("GET", url, {})
        assert status == 200
        document = json.loads(body)
        assert (document["resource"], document["authorization_servers"]) == (RESOURCE, [issuer.url])
        assert document["scopes_supported"] == [READ, WRITE]
        assert document["bearer_methods_supported"] == ["header"]
    assert request("GET", gate.operator_url + "/.well-known/oauth-protected-resource/other", {})[0] == 404


def test_scopes_say_which_tools_there_are(gate: GateProcess, issuer: TokenIssuer) -> None:
    viewer = (gate.home / "viewer.key").read_text("ascii").strip()
    assert _names(gate, _good(issuer)) == _names(gate, viewer)
    assert _names(gate, _good(issuer, f"openid {WRITE}")) == _names(gate, gate.operator_key)
    assert _names(gate, _good(issuer, None, scp=[READ])) == _names(gate, viewer)
    assert _names(gate, _good(issuer, aud=["other", RESOURCE])) == _names(gate, viewer)


def test_a_token_that_only_reads_is_told_what_more_would_take(gate: GateProcess, issuer: TokenIssuer) -> None:
    call = {"name": "apply_proposal", "arguments": {"id": "1"}}
    status, headers, told = _post(gate, _good(issuer), "tools/call", call)
    assert (status, told["error"]["code"]) == (403, "insufficient_scope")
    assert headers["www-authenticate"] == f'Bearer error="insufficient_scope", {PLACE}, scope="{READ} {WRITE}"'
    status, headers, _ = _post(gate, _good(issuer, "openid"), "tools/list")
    assert status == 403
    assert headers["www-authenticate"].endswith(f'scope="{READ}"')
    assert _post(gate, _good(issuer), "tools/call", {"name": "nothing", "arguments": {}})[0] == 200


def test_the_history_says_whose_token_changed_what(gate: GateProcess, issuer: TokenIssuer) -> None:
    token = _good(issuer, WRITE, sub="grace")
    call = {"name": "propose_changes", "arguments": {"what": "hello", "steps": [ROUTE]}}
    proposal = _post(gate, token, "tools/call", call)[2]["result"]["structuredContent"]
    call = {"name": "apply_proposal", "arguments": {"id": proposal["id"]}}
    assert _post(gate, token, "tools/call", call)[2]["result"]["isError"] is False
    revisions = json.loads(gate.operator("GET", "/api/routes/revisions")[2])["data"]
    assert (revisions[0]["who"], revisions[0]["face"]) == ("grace", "mcp")


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "https://other.example/mcp"}, "another audience"),
        ({"aud": RESOURCE + "/x"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"exp": time.time() - 5}, "expired"),
        ({"exp": None}, "does not say when it ends"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"exp": "tomorrow"}, ""),
    ],
)
def test_a_token_that_is_not_for_here_or_not_for_now_is_refused(
    gate: GateProcess, issuer: TokenIssuer, claims: dict[str, Any], problem: str
) -> None:
    status, headers, told = _post(gate, _good(issuer, **claims), "tools/list")
    assert (status, told["error"]["code"]) == (401, "invalid_token")
    assert problem in told["error"]["message"]
    assert headers["www-authenticate"].startswith('Bearer error="invalid_token", resource_metadata=')


def test_a_token_that_the_issuer_did_not_sign_is_refused(gate: GateProcess, issuer: TokenIssuer) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    pem = (
        issuer.keys[next(reversed(issuer.keys))]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    claims = {"iss": issuer.url, "aud": RESOURCE, "sub": "ada", "exp": time.time() + 300, "scope": WRITE}

    def part(value: Any) -> str:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    kid = next(reversed(issuer.keys))
    unsigned = f"{part({'alg': 'HS256', 'kid': kid})}.{part(claims)}"
    with_the_public_key = hmac.digest(pem, unsigned.encode(), "sha256")
    confused = f"{unsigned}.{part(with_the_public_key)}"
    whole = _good(issuer, WRITE)
    head, _, signature = whole.split(".")
    for bad in (
        _good(issuer, WRITE, key=stranger),
        _good(issuer, WRITE, key=stranger, kid="unknown"),
        f"{part({'alg': 'none'})}.{part(claims)}.",
        f"{part({'alg': 'nOnE', 'kid': kid})}.{part(claims)}.{signature}",
        confused,
        f"{head}.{part(claims)}.{signature}",
        whole[:-8],
        "nonsense",
        "x" * 20_000,
    ):
        status, _, told = _post(gate, bad, "tools/list")
        assert (status, told["error"]["code"]) == (401, "invalid_token"), bad[:60]


def test_a_key_that_the_issuer_took_up_is_found_and_one_that_it_gave_up_is_not_known(
    gate: GateProcess, issuer: TokenIssuer
) -> None:
    before = _good(issuer)
    assert _names(gate, before)
    issuer.rotate("two")
    assert _names(gate, _good(issuer))
    assert _post(gate, before, "tools/list")[0] == 401


def test_what_is_not_for_here_makes_nobody_ask_the_issuer(gate: GateProcess, issuer: TokenIssuer) -> None:
    assert _names(gate, _good(issuer))
    looked = issuer.asked(KEYS)
    for _ in range(5):
        assert _post(gate, _good(issuer, aud="other", kid="made-up"), "tools/list")[0] == 401
    assert issuer.asked(KEYS) == looked


def test_keys_open_as_before_and_a_token_opens_nothing_but_the_tools(gate: GateProcess, issuer: TokenIssuer) -> None:
    assert "apply_proposal" in _names(gate, gate.operator_key)
    token = {"authorization": "Bearer " + _good(issuer, WRITE)}
    for path in ("/api/keys", "/metrics", "/apisix/admin/routes", "/api/routes"):
        assert request("GET", gate.operator_url + path, token)[0] == 401


def test_an_issuer_that_is_away_is_no_fault_of_the_callers_and_keys_still_open(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with TokenIssuer() as issuer:
        issuer.away = True
        config = f'[mcp.oauth]\nissuer = "{issuer.url}"\nresource = "{RESOURCE}"\nsubjects = ["ada"]\n'
        with running_gate(tmp_path_factory.mktemp("gate"), config) as gate:
            status, headers, told = _post(gate, _good(issuer), "tools/list")
            assert (status, told["error"]["code"]) == (503, "issuer_unavailable")
            assert headers["retry-after"] == "5"
            assert "apply_proposal" in _names(gate, gate.operator_key)
            until(lambda: "issuer_trouble" in gate.log())
            issuer.away = False
            until(lambda: _post(gate, _good(issuer), "tools/list")[0] == 200)
            status, _, told = _post(gate, _good(issuer, sub="bob"), "tools/list")
            assert (status, told["error"]["code"]) == (403, "subject_not_allowed")
