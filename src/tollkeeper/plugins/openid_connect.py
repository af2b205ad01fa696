"""openid-connect: a bearer token is checked with the provider that issued it, or by its published keys."""

import base64
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec

from tollkeeper.core import signed_tokens
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.signed_tokens import ALGORITHMS, ASYMMETRIC, SYMMETRIC, BadToken
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.issuer import Issuer
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_TOLD = (b"x-access-token", b"x-id-token", b"x-userinfo", b"x-refresh-token")
_MOST_TOKENS = 10_000
_URL: Schema = {"type": "string", "pattern": r"^https?://"}


class OpenidConnect(Plugin):
    """Takes access tokens of programs; it signs nobody in by a browser, so `bearer_only` must be true."""

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
            "introspection_endpoint_auth_method": {
                "type": "string",
                "enum": ["client_secret_basic", "client_secret_post"],
                "default": "client_secret_basic",
            },
            "introspection_interval": {"type": "integer", "minimum": 0, "default": 0},
            "bearer_only": {"type": "boolean", "default": False},
            "unauth_action": {"type": "string", "enum": ["auth", "deny", "pass"], "default": "deny"},
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
            "set_userinfo_header": {"type": "boolean", "default": True},
            "ssl_verify": {"type": "boolean", "enum": [True], "default": True},
        },
        "required": ["client_id", "client_secret", "discovery"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if not conf.get("bearer_only") or conf.get("unauth_action") == "auth":
            raise ValueError(
                "signing in by a browser is not offered: bearer_only must be true, unauth_action deny or pass"
            )
        for name in ("discovery", "introspection_endpoint"):
            if name in conf and not urlsplit(conf[name]).hostname:
                raise ValueError(f"{name} has no host: {conf[name]}")
        if conf.get("token_signing_alg_values_expected") in SYMMETRIC and (
            conf.get("use_jwks") or "public_key" in conf
        ):
            raise ValueError("token_signing_alg_values_expected must be of public keys")

    def prepare(self) -> None:
        conf, gate = self.conf, self.gate
        self._issuer = Issuer(
            gate.outbound,
            [conf["discovery"]],
            gate.monotonic,
            keep=float(conf["jwk_expires_in"]),
            seconds=float(conf["timeout"]),
        )
        self._introspected: OrderedDict[str, tuple[float, Mapping[str, Any]]] = OrderedDict()

    async def rewrite(self, exchange: Exchange) -> Response | None:
        headers = exchange.request.headers
        scheme, _, token = (headers.get(b"authorization") or b"").decode("latin-1").partition(" ")
        token = token.strip()
        headers.remove(*_TOLD)  # what the client says of itself is not what the provider says
        if scheme.lower() != "bearer" or not token:
            if self.conf["unauth_action"] == "pass":
                return None
            return self._refused(401, "No bearer token found in request.")
        try:
            claims = await self._claims(token)
            self._check(claims)
        except BadToken as error:
            return self._refused(401, str(error), "invalid_token")
        except TollkeeperError as error:
            self.gate.say("openid_connect_failed", reason=error.message)
            return Response.json(503, {"message": "The identity provider did not answer."})
        missing = set(self.conf.get("required_scopes", ())) - set(str(claims.get("scope", "")).split())
        if missing:
            return self._refused(403, "required scopes not present", "insufficient_scope")
        if self.conf["set_access_token_header"]:
            if self.conf["access_token_in_authorization_header"]:
                headers.set(b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
            else:
                headers.set(b"x-access-token", token.encode("latin-1", "replace"))
        if self.conf["set_userinfo_header"]:
            headers.set(b"x-userinfo", base64.b64encode(msgspec.json.encode(claims)))
        exchange.notes["openid_connect_claims"] = claims
        return None

    def _refused(self, status: int, message: str, error: str | None = None) -> Response:
        realm = self.conf["realm"].replace('"', "")
        challenge = f'Bearer realm="{realm}"' + ("" if error is None else f', error="{error}"')
        told = (b"www-authenticate", challenge.encode("latin-1", "replace"))
        return Response.json(status, {"message": message}, told)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        """What the token says, once it is known to be good. Raises BadToken, and TollkeeperError for the provider."""
        if "public_key" in self.conf:
            algorithm = self.conf.get("token_signing_alg_values_expected", "RS256")
            return self._timed(signed_tokens.verified(token, self.conf["public_key"], [algorithm]))
        if not self.conf["use_jwks"]:
            return await self._introspect(token)
        expected = self.conf.get("token_signing_alg_values_expected")
        claims = self._timed(await self._issuer.verified(token, ASYMMETRIC if expected is None else (expected,)))
        issuer = (await self._issuer.document()).get("issuer")
        if issuer is not None and "issuer" not in self.conf.get("claim_validator", {}) and claims.get("iss") != issuer:
            raise BadToken("token is of another issuer")
        return claims

    def _timed(self, claims: dict[str, Any]) -> dict[str, Any]:
        signed_tokens.check_times(claims, self.gate.now())
        return claims

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

    async def _introspect(self, token: str) -> Mapping[str, Any]:
        """RFC 7662."""
        interval: int = self.conf["introspection_interval"]
        now = self.gate.monotonic()
        known = self._introspected.get(token)
        if known is not None and now < known[0]:
            return self._timed(dict(known[1]))
        endpoint = self.conf.get("introspection_endpoint") or (await self._issuer.document()).get(
            "introspection_endpoint"
        )
        if not isinstance(endpoint, str):
            raise TollkeeperError("The identity provider has no introspection endpoint.", status=503)
        form = {"token": token, "token_type_hint": "access_token"}
        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        if self.conf["introspection_endpoint_auth_method"] == "client_secret_post":
            form |= {"client_id": self.conf["client_id"], "client_secret": self.conf["client_secret"]}
        else:  # RFC 6749, 2.3.1: both are form-encoded first
            pair = f"{quote_plus(self.conf['client_id'])}:{quote_plus(self.conf['client_secret'])}"
            headers.append((b"authorization", b"Basic " + base64.b64encode(pair.encode())))
        claims = await self._issuer.fetch("POST", endpoint, headers, urlencode(form).encode())
        if claims.get("active") is not True:
            raise BadToken("token is not active")
        self._timed(dict(claims))
        if interval:
            self._introspected[token] = (now + interval, claims)
            if len(self._introspected) > _MOST_TOKENS:
                self._introspected.popitem(last=False)
        return claims
