"""openid-connect against a small real provider: discovery, introspection (RFC 7662) and published keys (RFC 7517)."""

import base64
import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kit.routed import Answered, Site
from kit.scripted import Connection, Request, Script, ScriptedUpstream, json_answer


class Provider:
    """Issues tokens and answers for them."""

    def __init__(self) -> None:
        self.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.codes: dict[str, dict[str, str]] = {}
        """What was asked for with each code that was given out."""
        self.claims: dict[str, Any] = {}
        """Of ID tokens, in place of what is right."""
        self.seconds = 3600
        """For which access tokens hold."""
        self.active = {"opaque": {"active": True, "sub": "ada", "scope": "read write", "aud": "app"}}
        self.server = ScriptedUpstream(self.answer)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def answer(self, asked: Request, connection: Connection) -> bool | None:
        if asked.path == "/.well-known/openid-configuration":
            found: Any = {
                "issuer": self.url,
                "jwks_uri": self.url + "/keys",
                "introspection_endpoint": self.url + "/introspect",
                "authorization_endpoint": self.url + "/authorize",
                "token_endpoint": self.url + "/token",
                "userinfo_endpoint": self.url + "/userinfo",
                "end_session_endpoint": self.url + "/end",
            }
        elif asked.path == "/userinfo":
            assert asked.headers["authorization"].startswith("Bearer access-")
            found = {"sub": "ada", "email": "ada@example.com"}
        elif asked.path == "/keys":
            found = {"keys": [self._public(kid) for kid in self.keys]}
        elif asked.headers.get("authorization") != "Basic " + base64.b64encode(b"app:s%2Fcret").decode():
            return json_answer(401, {"error": "invalid_client"})(asked, connection)
        elif asked.path == "/token":
            return self._granted({name: each[0] for name, each in parse_qs(asked.body.decode()).items()})(
                asked, connection
            )
        else:
            found = self.active.get(parse_qs(asked.body.decode())["token"][0], {"active": False})
        return json_answer(200, found)(asked, connection)

    def _granted(self, form: dict[str, str]) -> Script:
        tokens: dict[str, Any] = {"expires_in": self.seconds, "token_type": "Bearer"}
        if form["grant_type"] == "refresh_token":
            number = int(form["refresh_token"].removeprefix("refresh-")) + 1
            return json_answer(
                200, {**tokens, "access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
            )
        begun = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if begun is None or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["code_challenge"]:
            return json_answer(400, {"error": "invalid_grant"})
        assert form["redirect_uri"] == begun["redirect_uri"]
        id_token = self.token(**{"nonce": begun["nonce"], **self.claims})
        return json_answer(
            200, {**tokens, "access_token": "access-1", "refresh_token": "refresh-1", "id_token": id_token}
        )

    def signed_in(self, place: str, code: str = "code") -> str:
        """Somebody signs in where a browser was sent: where the browser is sent then."""
        asked = {name: each[0] for name, each in parse_qs(urlsplit(place).query).items()}
        assert place.startswith(self.url + "/authorize?")
        assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", "app", "openid")
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

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


def test_claims_are_held_to_a_schema(site: Site, provider: Provider) -> None:
    schema = {"required": ["team"], "properties": {"team": {"enum": ["a", "b"]}}}
    path = site.route({"openid-connect": provider.conf(use_jwks=True, claim_schema=schema)})
    assert site.ask(path, authorization="Bearer " + provider.token(team="a"))[0] == 200
    answer = site.ask(path, authorization="Bearer " + provider.token(team="c"))
    assert said(answer) == (401, 'claims: property "team" validation failed: matches none of the enum values')
    assert answer[1]["www-authenticate"] == 'Bearer realm="apisix", error="invalid_token"'
    assert said(site.ask(path, authorization="Bearer " + provider.token()))[0] == 401
    odd = {"openid-connect": provider.conf(claim_schema={"properties": {"a": {"type": "text"}}})}
    assert "invalid schema at claim_schema" in site.refused(odd)


def test_headers_of_the_request_go_along_to_introspection_and_answers_are_kept_for_them_alone(
    site: Site, provider: Provider
) -> None:
    names = ["X-Tenant", "x-not-there", "content-length", "authorization"]
    conf = provider.conf(introspection_addon_headers=names, introspection_interval=600)
    path = site.route({"openid-connect": conf})
    before = len(provider.server.requests)
    for tenant in ("one", "two", "one"):
        assert site.ask(path, "POST", b"a body", authorization="Bearer opaque", x_tenant=tenant)[0] == 200
    looks = [each for each in provider.server.requests[before:] if each.path == "/introspect"]
    assert [each.headers["x-tenant"] for each in looks] == ["one", "two"]
    assert all("x-not-there" not in each.headers and each.headers["authorization"][:6] == "Basic " for each in looks)
    assert "is no name of a header" in site.refused(
        {"openid-connect": provider.conf(introspection_addon_headers=["x\r\ny"])}
    )


def test_a_secret_is_needed_only_where_the_provider_is_asked_with_it(site: Site, provider: Provider) -> None:
    conf = {name: each for name, each in provider.conf().items() if name != "client_secret"}
    assert 'property "client_secret" is required' in site.refused({"openid-connect": conf})
    path = site.route({"openid-connect": {**conf, "use_jwks": True}})
    assert site.ask(path, authorization="Bearer " + provider.token())[0] == 200
    assert site.ask(path, authorization="Bearer " + provider.token(exp=1))[0] == 401


class Browser:
    """Keeps cookies, and follows no redirect by itself."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Answered:
        headers = (
            {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        )
        connection = http.client.HTTPConnection(urlsplit(self._site.gate.url).netloc, timeout=30)
        connection.request(method, path.removeprefix(self._site.gate.url), body, headers)
        answer = connection.getresponse()
        found = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(value.split("; "))
                kept, _, content = value.partition(";")[0].partition("=")
                if "Max-Age=0" in value:
                    del self.cookies[kept]
                else:
                    self.cookies[kept] = content
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, found


SESSION = {"secret": "sixteen characters or more"}


def test_a_browser_signs_in_and_stays_so_until_it_leaves(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION)})
    browser = Browser(site)
    status, headers, _ = browser.ask(path + "/deep?q=1")
    assert status == 302
    status, headers, _ = browser.ask(provider.signed_in(headers["location"]))
    assert (status, headers["location"]) == (302, path + "/deep?q=1")
    assert set(browser.cookies) == {"session"}
    browser.cookies["mine"] = "stays"
    status, _, body = browser.ask(path)
    told = json.loads(body)["headers"]
    assert (status, told["x-access-token"], told["cookie"]) == (200, "access-1", "mine=stays")
    assert json.loads(base64.b64decode(told["x-userinfo"]))["email"] == "ada@example.com"
    assert json.loads(base64.b64decode(told["x-id-token"]))["sub"] == "ada"
    assert "x-refresh-token" not in told
    assert browser.ask(path, "POST")[0] == 200
    assert Browser(site).ask(path, "POST")[0] == 401
    logout = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION, logout_path="/r-out")})
    site.put(
        "routes/out",
        {
            "uri": "/r-out",
            "plugins": {"openid-connect": provider.conf(bearer_only=False, session=SESSION, logout_path="/r-out")},
        },
    )
    assert browser.ask(logout)[0] == 200
    status, headers, _ = browser.ask("/r-out")
    assert (status, headers["location"].partition("?")[0]) == (302, provider.url + "/end")
    assert "id_token_hint" in parse_qs(urlsplit(headers["location"]).query)
    assert set(browser.cookies) == {"mine"}


def test_a_sign_in_that_another_browser_began_or_that_was_tampered_with_is_not_believed(
    site: Site, provider: Provider
) -> None:
    path = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION)})
    browser, other = Browser(site), Browser(site)
    back = provider.signed_in(browser.ask(path)[1]["location"])
    assert other.ask(back)[0] == 401
    assert browser.ask(back.replace("code=code", "error=access_denied"))[0] == 401
    assert browser.ask(back.replace("code=code", "code=other"))[0] == 401
    assert browser.ask(back)[0] == 302
    assert browser.ask(back)[0] == 401
    stolen = Browser(site)
    stolen.cookies["session_state_x"] = browser.cookies["session"]
    stolen.cookies["session"] = browser.cookies["session"][:-4] + "AAAA"
    assert stolen.ask(path)[0] == 302
    elsewhere = site.route(
        {"openid-connect": provider.conf(bearer_only=False, session={"secret": "another secret than that"})}
    )
    assert browser.ask(elsewhere)[0] == 302


def test_a_browser_that_begins_many_sign_ins_keeps_only_the_last_ones(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION)})
    browser = Browser(site)
    places = [browser.ask(path)[1]["location"] for _ in range(9)]
    assert len(browser.cookies) == 4
    assert browser.ask(provider.signed_in(places[0]))[0] == 401
    assert browser.ask(provider.signed_in(places[-1]))[0] == 302


def test_an_id_token_that_answers_something_else_is_not_believed(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION)})
    for wrong in ({"nonce": "other"}, {"aud": ["another"]}, {"iss": "https://evil.example"}, {"exp": time.time() - 60}):
        browser = Browser(site)
        provider.claims = wrong
        try:
            assert browser.ask(provider.signed_in(browser.ask(path)[1]["location"]))[0] == 401
        finally:
            provider.claims = {}
        assert "session" not in browser.cookies


def test_a_session_is_renewed_once_its_access_token_has_ended(site: Site, provider: Provider) -> None:
    path = site.route({"openid-connect": provider.conf(bearer_only=False, session=SESSION)})
    browser = Browser(site)
    provider.seconds = 5
    try:
        back = provider.signed_in(browser.ask(path)[1]["location"])
        assert browser.ask(back)[0] == 302
        provider.seconds = 3600
        before = dict(browser.cookies)
        assert json.loads(browser.ask(path)[2])["headers"]["x-access-token"] == "access-2"
        assert browser.cookies != before
        late = Browser(site)
        late.cookies = before
        assert json.loads(late.ask(path)[2])["headers"]["x-access-token"] == "access-2"
        assert json.loads(browser.ask(path)[2])["headers"]["x-access-token"] == "access-2"
    finally:
        provider.seconds = 3600


def test_where_tls_ends_before_the_gate_cookies_are_for_tls_only(site: Site, provider: Provider) -> None:
    conf = provider.conf(bearer_only=False, session=SESSION, redirect_uri="https://app.example/back")
    path = site.route({"openid-connect": conf})
    status, headers, _ = Browser(site).ask(path)
    assert status == 302
    assert parse_qs(urlsplit(headers["location"]).query)["redirect_uri"] == ["https://app.example/back"]
    assert headers["set-cookie"].endswith("; Secure")


def test_what_a_sign_in_lacks_is_refused(site: Site, provider: Provider) -> None:
    conf = provider.conf(bearer_only=False)
    assert "session.secret is required" in site.refused({"openid-connect": conf})
    assert "too short" in site.refused({"openid-connect": {**conf, "session": {"secret": "short"}}})
    path = site.route({"openid-connect": {**conf, "session": SESSION, "unauth_action": "deny"}})
    assert site.ask(path)[0] == 401


def test_a_session_is_held_to_a_schema_and_shows_its_raw_token(site: Site, provider: Provider) -> None:
    schema = {"properties": {"user": {"required": ["email"]}, "id_token": {"properties": {"sub": {"const": "ada"}}}}}
    more = {"set_raw_id_token_header": True, "access_token_expires_leeway": 5, "access_token_expires_in": 60}
    session = {**SESSION, "absolute_timeout": 600}
    for wanted, status in ((schema, 200), ({"required": ["nothing of that name"]}, 401)):
        conf = provider.conf(bearer_only=False, session=session, claim_schema=wanted, **more)
        path = site.route({"openid-connect": conf})
        browser = Browser(site)
        assert browser.ask(provider.signed_in(browser.ask(path)[1]["location"]))[0] == 302
        found = browser.ask(path)
        assert found[0] == status
        if status == 200:
            raw = json.loads(found[2])["headers"]["x-raw-id-token"]
            assert jwt.decode(raw, options={"verify_signature": False})["sub"] == "ada"
