"""basic-auth: who calls is known by a name and a password (RFC 7617)."""

import base64
import binascii
import hmac
from typing import ClassVar

from tollkeeper.routes.authentication import as_consumer, challenge, unauthorised
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin


class BasicAuth(Plugin):
    """A consumer's username and password, in the header Authorization."""

    priority = 2520
    kind = "auth"
    consumer_key = "username"
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "hide_credentials": {"type": "boolean", "default": False},
            "anonymous_consumer": {"type": "string", "minLength": 1},
            "realm": {"type": "string", "default": "basic"},
        },
    }
    consumer_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
        "required": ["username", "password"],
    }

    def prepare(self) -> None:
        self._challenge = challenge("Basic", self.conf["realm"])

    def rewrite(self, exchange: Exchange) -> Response | None:
        given = exchange.request.headers.get(b"authorization")
        if given is None:
            return self._refused(exchange, "Missing authorization in request")
        scheme, _, encoded = given.partition(b" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        name, colon, password = decoded.partition(":")
        if scheme.lower() != b"basic" or not colon:
            return self._refused(exchange, "Invalid authorization in request")
        consumer = self.gate.consumers("basic-auth").get(name)
        wanted = "" if consumer is None else str(consumer.credential["password"])
        right = hmac.compare_digest(password.encode(), wanted.encode())
        if consumer is None or not right:
            return self._refused(exchange, "Invalid user authorization")
        if self.conf["hide_credentials"]:
            exchange.request.headers.remove(b"authorization")
        as_consumer(exchange, consumer)
        return None

    def _refused(self, exchange: Exchange, message: str) -> Response | None:
        anonymous = self.gate.consumer(self.conf.get("anonymous_consumer", ""))
        if anonymous is not None:
            as_consumer(exchange, anonymous)
            return None
        return unauthorised(message, self._challenge)
