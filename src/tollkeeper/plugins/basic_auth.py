"""basic-auth: who calls is known by a name and a password (RFC 7617)."""

import base64
import binascii
import hmac
from typing import ClassVar

from tollkeeper.routes.authentication import as_consumer, challenge, refused
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
            return refused(self, exchange, "Missing authorization in request", self._challenge)
        scheme, _, encoded = given.partition(b" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        name, colon, password = decoded.partition(":")
        if scheme.lower() != b"basic" or not colon:
            return refused(self, exchange, "Invalid authorization in request", self._challenge)
        consumer = self.gate.consumers("basic-auth").get(name)
        wanted = "" if consumer is None else str(consumer.credential["password"])
        right = hmac.compare_digest(password.encode(), wanted.encode())
        if consumer is None or not right:
            return refused(self, exchange, "Invalid user authorization", self._challenge)
        if self.conf["hide_credentials"]:
            exchange.request.headers.remove(b"authorization")
        as_consumer(exchange, consumer)
        return None
