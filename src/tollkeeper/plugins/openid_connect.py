"""openid-connect: who calls is known by a bearer token of an OpenID provider's, or has signed in there by a browser."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.signed_tokens import ALGORITHMS, SYMMETRIC, BadToken
from tollkeeper.routes import json_schema
from tollkeeper.routes.authentication import challenge
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import check_names
from tollkeeper.routes.json_schema import Schema, Written
from tollkeeper.routes.openid_provider import OpenidProvider
from tollkeeper.routes.openid_sign_in import SignIn
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.schema_references import resolved

_TOLD = (b"x-access-token", b"x-id-token", b"x-raw-id-token", b"x-userinfo", b"x-refresh-token")
_URL: Schema = {"type": "string", "pattern": r"^https?://"}
_CLIENT: Schema = {
    "type": "string",
    "enum": ["client_secret_basic", "client_secret_post"],
    "default": "client_secret_basic",
}


class OpenidConnect(Plugin):
    """A bearer token is introspected or checked by published keys; without one a browser signs in, unless `bearer_only`."""

    priority = 2599
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "client_id": {"type": "string"},
            "client_secret": {"type": "string"},
            "discovery": _URL,
            "scope": {"type": "string", "default": "openid"},
            "timeout": {"type": "integer", "minimum": 1, "default": 3},
            "introspection_endpoint": _URL,
            "introspection_endpoint_auth_method": _CLIENT,
            "token_endpoint_auth_method": _CLIENT,
            "introspection_interval": {"type": "integer", "minimum": 0, "default": 0},
            "introspection_addon_headers": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": "^[^:]+$"},
            },
            "claim_schema": {"type": "object"},
            # Nothing is remembered of signatures, nor between two configurations: these change nothing.
            "jwt_verification_cache_ignore": {"type": "boolean"},
            "cache_segment": {"type": "string"},
            "bearer_only": {"type": "boolean", "default": False},
            "unauth_action": {"type": "string", "enum": ["auth", "deny", "pass"], "default": "auth"},
            "realm": {"type": "string", "default": "apisix"},
            "use_jwks": {"type": "boolean", "default": False},
            "jwk_expires_in": {"type": "integer", "minimum": 1, "default": 86400},
            "public_key": {"type": "string"},
            "token_signing_alg_values_expected": {"type": "string", "enum": list(ALGORITHMS)},
            "required_scopes": {"type": "array", "items": {"type": "string"}},
            "claim_validator": {
                "type": "object",
                "properties": {
                    "issuer": {
                        "type": "object",
                        "properties": {
                            "valid_issuers": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                        },
                    },
                    "audience": {
                        "type": "object",
                        "properties": {
                            "claim": {"type": "string", "default": "aud"},
                            "required": {"type": "boolean", "default": False},
                            "match_with_client_id": {"type": "boolean", "default": False},
                        },
                    },
                },
            },
            "set_access_token_header": {"type": "boolean", "default": True},
            "access_token_in_authorization_header": {"type": "boolean", "default": False},
            "set_id_token_header": {"type": "boolean", "default": True},
            "set_raw_id_token_header": {"type": "boolean", "default": False},
            "set_userinfo_header": {"type": "boolean", "default": True},
            "set_refresh_token_header": {"type": "boolean", "default": False},
            "redirect_uri": {"type": "string", "pattern": r"^(https?://[^/]+)?/"},
            "logout_path": {"type": "string", "pattern": "^/", "default": "/logout"},
            "post_logout_redirect_uri": _URL,
            "authorization_params": {"type": "object", "additionalProperties": {"type": "string"}},
            "use_pkce": {"type": "boolean", "default": True},
            "use_nonce": {"type": "boolean"},
            "accept_none_alg": {"type": "boolean", "enum": [False]},
            "renew_access_token_on_expiry": {"type": "boolean", "default": True},
            "access_token_expires_in": {"type": "integer", "minimum": 1},
            "access_token_expires_leeway": {"type": "integer", "minimum": 0, "default": 0},
            "session": {
                "type": "object",
                "properties": {
                    "secret": {"type": "string", "minLength": 16},
                    "absolute_timeout": {"type": "integer", "minimum": 1},
                    "cookie": {
                        "type": "object",
                        "properties": {"lifetime": {"type": "integer", "minimum": 1, "default": 3600}},
                        "additionalProperties": False,
                    },
                },
                "required": ["secret"],
                "additionalProperties": False,
            },
            "ssl_verify": {"type": "boolean", "enum": [True], "default": True},
        },
        "required": ["client_id", "discovery"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if not conf["bearer_only"] and "session" not in conf:
            raise ValueError("property session.secret is required when bearer_only is false")
        local = conf["bearer_only"] and (conf.get("use_jwks") or "public_key" in conf)
        if "client_secret" not in conf and not local:
            raise ValueError('property "client_secret" is required')
        if "claim_schema" in conf:
            json_schema.check_schema(resolved(conf["claim_schema"], "claim_schema"), "claim_schema")
        check_names(conf.get("introspection_addon_headers", ()))
        for name in ("discovery", "introspection_endpoint"):
            if name in conf and not urlsplit(conf[name]).hostname:
                raise ValueError(f"{name} has no host: {conf[name]}")
        if conf.get("token_signing_alg_values_expected") in SYMMETRIC and (
            conf.get("use_jwks") or "public_key" in conf
        ):
            raise ValueError("token_signing_alg_values_expected must be of public keys")

    def prepare(self) -> None:
        gate = self.gate
        schema = self.conf.get("claim_schema")
        self._claim_schema = None if schema is None else Written(resolved(schema, "claim_schema"), gate.patterns)
        self._added = [name.lower().encode() for name in self.conf.get("introspection_addon_headers", ())]
        self._provider = OpenidProvider(self.conf, gate.outbound, gate.now, gate.monotonic)
        self._sign_in = None if self.conf["bearer_only"] else SignIn(self.conf, self._provider, gate.now)
        self._takes_bearers = self._sign_in is None or any(
            self.conf.get(name) for name in ("use_jwks", "public_key", "introspection_endpoint")
        )

    async def rewrite(self, exchange: Exchange) -> Response | None:
        headers = exchange.request.headers
        scheme, _, token = (headers.get(b"authorization") or b"").decode("latin-1").partition(" ")
        token = token.strip()
        headers.disown(*_TOLD)  # what the client says of itself is not what the provider says
        try:
            if scheme.lower() == "bearer" and token and self._takes_bearers:
                return await self._by_token(exchange, token)
            if self._sign_in is not None:
                return await self._by_browser(exchange, self._sign_in)
        except BadToken as error:
            return self._refused(401, str(error), "invalid_token")
        except TollkeeperError as error:
            self.gate.say("openid_connect_failed", reason=error.message)
            return Response.json(503, {"message": "The identity provider did not answer."})
        if self.conf["unauth_action"] == "pass":
            return None
        return self._refused(401, "No bearer token found in request.")

    def header_filter(self, exchange: Exchange) -> None:
        """Cookies of a session that was renewed on the way."""
        for cookie in exchange.notes.get(self, ()):
            assert exchange.response is not None
            exchange.response.headers.add(b"set-cookie", cookie)

    async def _by_token(self, exchange: Exchange, token: str) -> Response | None:
        headers = exchange.request.headers
        added = [(name, value) for name in self._added if (value := headers.get(name)) is not None]
        claims = await self._provider.claims(token, added)
        self._check(claims)
        missing = set(self.conf.get("required_scopes", ())) - set(str(claims.get("scope", "")).split())
        if missing:
            return self._refused(403, "required scopes not present", "insufficient_scope")
        refused = self._unfit(claims)
        if refused is not None:
            return refused
        self._tell(exchange, token, claims)
        exchange.notes["openid_connect_claims"] = claims
        return None

    async def _by_browser(self, exchange: Exchange, sign_in: SignIn) -> Response | None:
        if sign_in.leaves(exchange):
            return await sign_in.left(exchange)
        if sign_in.returns(exchange):
            return await sign_in.returned(exchange)
        session, cookies = await sign_in.session(exchange)
        if session is None:
            action = self.conf["unauth_action"]
            if action == "pass":
                sign_in.hide(exchange)
                return None
            # What a page asks for in the background could not come back from a sign-in with its body.
            if action == "deny" or exchange.request.method not in ("GET", "HEAD"):
                return self._refused(401, "Nobody is signed in.")
            return await sign_in.begun(exchange)
        sign_in.hide(exchange)
        if cookies:
            exchange.notes[self] = cookies
        claims = session["claims"]
        data = {"access_token": session["access_token"], "id_token": claims}
        refused = self._unfit({**data, "user": session["user"]} if session["user"] else data)
        if refused is not None:
            return refused
        self._tell(exchange, session["access_token"], session["user"] or claims)
        headers = exchange.request.headers
        if self.conf["set_id_token_header"]:
            headers.set(b"x-id-token", base64.b64encode(msgspec.json.encode(claims)))
        if self.conf["set_raw_id_token_header"]:
            headers.set(b"x-raw-id-token", session["id_token"].encode("latin-1", "replace"))
        if self.conf["set_refresh_token_header"] and session["refresh_token"]:
            headers.set(b"x-refresh-token", session["refresh_token"].encode("latin-1", "replace"))
        exchange.notes["openid_connect_claims"] = claims
        return None

    def _unfit(self, said: Mapping[str, Any]) -> Response | None:
        """The refusal where `claim_schema` has it otherwise: of a token's claims, or of what a session has."""
        words = None if self._claim_schema is None else self._claim_schema.wrong(said)
        return None if words is None else self._refused(401, f"claims: {words}", "invalid_token")

    def _tell(self, exchange: Exchange, token: str, user: Mapping[str, Any]) -> None:
        """The upstream gets to know whose request it is."""
        headers = exchange.request.headers
        if self.conf["set_access_token_header"]:
            if self.conf["access_token_in_authorization_header"]:
                headers.set(b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
            else:
                headers.set(b"x-access-token", token.encode("latin-1", "replace"))
        if self.conf["set_userinfo_header"]:
            headers.set(b"x-userinfo", base64.b64encode(msgspec.json.encode(user)))

    def _refused(self, status: int, message: str, error: str | None = None) -> Response:
        words = challenge("Bearer", self.conf["realm"], "" if error is None else f', error="{error}"')
        return Response.json(status, {"message": message}, (b"www-authenticate", words))

    def _check(self, claims: Mapping[str, Any]) -> None:
        validator = self.conf.get("claim_validator", {})
        issuers = validator.get("issuer", {}).get("valid_issuers")
        if issuers is not None and claims.get("iss") not in issuers:
            raise BadToken("token is of another issuer")
        audience = validator.get("audience", {})
        given = claims.get(audience.get("claim", "aud"))
        if audience.get("required") and given is None:
            raise BadToken("token names no audience")
        if audience.get("match_with_client_id"):
            named = given if isinstance(given, list) else [given]
            if self.conf["client_id"] not in named:
                raise BadToken("token is for another audience")
