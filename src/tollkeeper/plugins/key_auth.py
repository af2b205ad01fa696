"""key-auth: who calls is known by a key in a header or in the query."""

from typing import ClassVar

from tollkeeper.routes.authentication import as_consumer, challenge, less, refused
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import text, written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin


class KeyAuth(Plugin):
    """A consumer's own key; or a key of the model endpoints, whose name or owner is a consumer's."""

    priority = 2500
    kind = "auth"
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "header": {"type": "string", "default": "apikey"},
            "query": {"type": "string", "default": "apikey"},
            "hide_credentials": {"type": "boolean", "default": False},
            "anonymous_consumer": {"type": "string", "minLength": 1},
            "realm": {"type": "string", "default": "key"},
        },
    }
    consumer_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"key": {"type": "string", "minLength": 1}},
        "required": ["key"],
    }

    def prepare(self) -> None:
        self._header = self.conf["header"].lower().encode("latin-1", "replace")
        self._query: str = self.conf["query"]
        self._names = frozenset((self.conf["header"].lower(), self._query))
        self._challenge = challenge("apikey", self.conf["realm"])

    def shown_key(self, key: bytes) -> tuple[bytes, bytes] | None:
        return self._header, key

    def rewrite(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        given = request.headers.get(self._header)
        in_query = given is None
        exchange.secret_names |= self._names
        key = text(given) if given is not None else exchange.var("arg_" + self._query)
        if key is None:
            return refused(self, exchange, "Missing API key in request", self._challenge)
        consumer = self.gate.consumers("key-auth").get(key)
        if consumer is None:
            secret = written(key)
            found = self.gate.keys.find(secret)
            if found is not None:
                consumer = self.gate.consumer(found.name) or self.gate.consumer(found.owner or "")
                exchange.gate_key, exchange.key = secret, found
        if consumer is None:
            return refused(self, exchange, "Invalid API key in request", self._challenge)
        if self.conf["hide_credentials"]:
            if in_query:
                request.query = less(request.query, lambda name, value: name == self._query)
            else:
                request.headers.remove(self._header)
        as_consumer(exchange, consumer)
        return None
