"""openid-connect against a small real provider: discovery, introspection (RFC 7662) and published keys (RFC 7517)."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kit.routed import Answered, Site
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer


class Provider:
    """Issues tokens and answers for them."""

    def __init__(self) -> None:
        self.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.active = {"opaque": {"active": True, "sub": "ada", "scope": "read write", "aud": "app"}}
        self.server = ScriptedUpstream(self.answer)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def answer(self, asked: Request, connection: Connection) -> bool | None:
        if asked.path == "/.well-known/openid-configuration":
            found: Any = {
                "issuer": self.url,
                "jwks_uri": self.url + "/keys",
                "introspection_endpoint": self.url + "/introspect",
            }
        elif asked.path == "/keys":
            found = {"keys": [self._public(kid) for kid in self.keys]}
        elif asked.headers.get("authorization") != "Basic " + base64.b64encode(b"app:s%2Fcret").decode():
            return json_answer(401, {"error": "invalid_client"})(asked, connection)
        else:
            found = self.active.get(parse_qs(asked.body.decode())["token"][0], {"active": False})
        return json_answer(200, found)(asked, connection)

    def _public(self, kid: str) -> dict[str, Any]:
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        public: dict[str, Any] = algorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
        return {**public, "kid": kid, "use": "sig"}

    def token(self, kid: str = "one", key: Any = None, **claims: Any) -> str:
        said = {"iss": self.url, "sub": "ada", "aud": ["app"], "exp": time.time() + 60, "scope": "read", **claims}
        return jwt.encode(said, key or self.keys[kid], "ES256", {"kid": kid})

    def conf(self, **more: Any) -> dict[str, Any]:
        discovery = self.url + "/.well-known/openid-configuration"
        return {"client_id": "app", "client_secret": "s/cret", "discovery": discovery, "bearer_only": True, **more}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    with made.server:
        yield made


def said(answer: Answered) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["message"]


def test_an_opaque_token_is_looked_up_with_the_provider(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf()})
    headers = site.told(path, authorization="Bearer opaque", x_userinfo="forged")["headers"]
    assert json.loads(base64.b64decode(headers["x-userinfo"]))["sub"] == "ada"
    assert headers["x-access-token"] == "opaque"
    status, answered, _ = site.ask(path, authorization="Bearer other")
    assert status == 401
    assert answered["www-authenticate"] == 'Bearer realm="apisix", error="invalid_token"'
    assert site.ask(path)[0] == 401


def test_a_token_is_checked_by_the_published_keys_and_a_new_key_is_found(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(use_jwks=True)})
    assert site.ask(path, authorization="Bearer " + provider.token())[0] == 200
    stranger = ec.generate_private_key(ec.SECP256R1())
    for bad in (
        provider.token(key=stranger),
        provider.token("unknown", stranger),
        provider.token(exp=time.time() - 5),
        provider.token(iss="https://evil.example"),
        jwt.encode({"iss": provider.url}, "a secret of more than thirty-two characters", "HS256"),
        "nonsense",
    ):
        assert site.ask(path, authorization="Bearer " + bad)[0] == 401


def test_scopes_and_audience_are_asked_for(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(use_jwks=True, required_scopes=["write"])})
    assert said(site.ask(path, authorization="Bearer " + provider.token())) == (403, "required scopes not present")
    assert site.ask(path, authorization="Bearer " + provider.token(scope="write read"))[0] == 200
    validator = {"audience": {"required": True, "match_with_client_id": True}}
    path = site.route({"openid-connect": provider.conf(use_jwks=True, claim_validator=validator)})
    assert site.ask(path, authorization="Bearer " + provider.token())[0] == 200
    assert site.ask(path, authorization="Bearer " + provider.token(aud="other"))[0] == 401
    assert site.ask(path, authorization="Bearer " + provider.token(aud=None))[0] == 401


def test_a_token_is_not_looked_up_again_within_the_interval(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(introspection_interval=600)})

    def looks() -> int:
        return sum(each.path == "/introspect" for each in provider.server.requests)

    before = looks()
    assert [site.ask(path, authorization="Bearer opaque")[0] for _ in range(3)] == [200] * 3
    assert looks() == before + 1


def test_who_brings_none_may_pass_unknown(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(unauth_action="pass")})
    assert "x-userinfo" not in site.told(path, x_userinfo="forged")["headers"]


def test_a_provider_that_is_away_is_no_fault_of_the_callers(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(discovery="http://127.0.0.1:1/", use_jwks=True)})
    assert site.ask(path, authorization="Bearer " + provider.token())[0] == 503


def test_signing_in_by_a_browser_is_not_offered(site: Site, provider: Provider) -> None:
    assert "not offered" in site.refused({"openid-connect": provider.conf(bearer_only=False)})
