"""jwt-auth: who calls is known by a JSON Web Token that a consumer's key signed."""

import base64
import binascii
from typing import Any, ClassVar

from tollkeeper.core import signed_tokens
from tollkeeper.core.signed_tokens import ALGORITHMS, SYMMETRIC, BadToken
from tollkeeper.routes.authentication import as_consumer, challenge, less, refused
from tollkeeper.routes.consumers import Consumer
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import text, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin


class JwtAuth(Plugin):
    """A token in a header, the query or a cookie. Its claim `key` says whose it is; its consumer's algorithm counts."""

    priority = 2510
    kind = "auth"
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "header": {"type": "string", "default": "authorization"},
            "query": {"type": "string", "default": "jwt"},
            "cookie": {"type": "string", "default": "jwt"},
            "hide_credentials": {"type": "boolean", "default": False},
            "key_claim_name": {"type": "string", "default": "key", "minLength": 1},
            "store_in_ctx": {"type": "boolean", "default": False},
            "realm": {"type": "string", "default": "jwt"},
            "claims_to_verify": {
                "type": "array",
                "items": {"type": "string", "enum": ["exp", "nbf"]},
                "uniqueItems": True,
                "default": ["exp", "nbf"],
            },
            "anonymous_consumer": {"type": "string", "minLength": 1},
        },
    }
    consumer_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "key": {"type": "string", "minLength": 1},
            "secret": {"type": "string", "minLength": 1},
            "public_key": {"type": "string", "minLength": 1},
            "algorithm": {"type": "string", "enum": list(ALGORITHMS), "default": "HS256"},
            "exp": {"type": "integer", "minimum": 1, "default": 86400},
            "base64_secret": {"type": "boolean", "default": False},
            "lifetime_grace_period": {"type": "integer", "minimum": 0, "default": 0},
        },
        "required": ["key"],
    }

    @classmethod
    def check_consumer(cls, conf: Conf) -> None:
        algorithm = conf["algorithm"]
        needed = "secret" if algorithm in SYMMETRIC else "public_key"
        if needed not in conf:
            raise ValueError(f'property "{needed}" is required when "algorithm" is "{algorithm}"')
        secret = conf[needed]
        if needed == "secret" and conf["base64_secret"] and not secret.startswith("$"):
            try:
                _decoded(secret)
            except BadToken:
                raise ValueError("base64_secret required but the secret is not in base64 format") from None

    def prepare(self) -> None:
        self._challenge = challenge("Bearer", self.conf["realm"])

    def rewrite(self, exchange: Exchange) -> Response | None:
        token, place = self._token(exchange)
        if not token:
            return refused(self, exchange, "Missing JWT token in request", self._challenge)
        try:
            _, claims = signed_tokens.unverified(token)
        except BadToken:
            return refused(self, exchange, "JWT token invalid", self._challenge)
        key = claims.get(self.conf["key_claim_name"])
        if not key:
            return refused(self, exchange, "missing user key in JWT token", self._challenge)
        consumer = self.gate.consumers("jwt-auth").get(str(key))
        if consumer is None:
            return refused(self, exchange, "Invalid user key in JWT token", self._challenge)
        try:
            claims = self._verified(token, consumer)
        except BadToken:
            return refused(self, exchange, "failed to verify jwt", self._challenge)
        if self.conf["hide_credentials"]:
            self._hide(exchange, place)
        if self.conf["store_in_ctx"]:
            exchange.notes["jwt_auth_payload"] = claims
        as_consumer(exchange, consumer)
        return None

    def _verified(self, token: str, consumer: Consumer) -> dict[str, Any]:
        credential = consumer.credential
        algorithm = credential.get("algorithm", "HS256")
        secret: str | bytes = credential.get("secret" if algorithm in SYMMETRIC else "public_key", "")
        if algorithm in SYMMETRIC and credential.get("base64_secret"):
            secret = _decoded(str(secret))
        claims = signed_tokens.verified(token, secret, [algorithm])
        grace = float(credential.get("lifetime_grace_period", 0))
        signed_tokens.check_times(claims, self.gate.now(), grace, self.conf["claims_to_verify"])
        return claims

    def _token(self, exchange: Exchange) -> tuple[str | None, str]:
        exchange.secret_names |= {self.conf["header"].lower(), self.conf["query"]}
        given = exchange.request.headers.get(self.conf["header"].lower().encode("latin-1", "replace"))
        if given is not None:
            scheme, space, rest = given.decode("latin-1").partition(" ")
            return (rest.strip() if space and scheme.lower() == "bearer" else given.decode("latin-1")), "header"
        query = exchange.var("arg_" + self.conf["query"])
        if query is not None:
            return query, "query"
        return exchange.var("cookie_" + self.conf["cookie"]), "cookie"

    def _hide(self, exchange: Exchange, place: str) -> None:
        request = exchange.request
        if place == "header":
            request.headers.remove(self.conf["header"].lower().encode("latin-1", "replace"))
        elif place == "query":
            request.query = less(request.query, lambda name, value: name == self.conf["query"])
        else:
            cookies = text(request.headers.get(b"cookie") or b"").split(";")
            kept = [each.strip() for each in cookies if each.partition("=")[0].strip() != self.conf["cookie"]]
            request.headers.remove(b"cookie")
            if kept:
                request.headers.set(b"cookie", written("; ".join(kept)))


def _decoded(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise BadToken("the secret is not in base64") from None
