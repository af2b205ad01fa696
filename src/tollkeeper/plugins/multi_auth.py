"""multi-auth: it is enough that one of several plugins knows who calls."""

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar

from tollkeeper.plugins.basic_auth import BasicAuth
from tollkeeper.plugins.jwt_auth import JwtAuth
from tollkeeper.plugins.key_auth import KeyAuth
from tollkeeper.routes import json_schema
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin


class MultiAuth(Plugin):
    """Asks each in turn until one finds a consumer."""

    priority = 2600
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "auth_plugins": {
                "type": "array",
                "minItems": 2,
                "items": {"type": "object", "minProperties": 1, "maxProperties": 1},
            },
        },
        "required": ["auth_plugins"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for each in conf["auth_plugins"]:
            for name, inner in each.items():
                plugin = _authenticating(name)
                words = json_schema.wrong(inner, plugin.schema)
                if words is not None:
                    raise ValueError(f"plugin {name} check schema failed: {words}")
                plugin.check(inner, ())

    def prepare(self) -> None:
        self._plugins = [
            (name, _authenticating(name)(json_schema.with_defaults(inner, _authenticating(name).schema), self.gate))
            for each in self.conf["auth_plugins"]
            for name, inner in each.items()
        ]

    def shown_key(self, key: bytes) -> tuple[bytes, bytes] | None:
        found = (plugin.shown_key(key) for _, plugin in self._plugins)
        return next((header for header in found if header is not None), None)

    async def rewrite(self, exchange: Exchange) -> Response | None:
        challenges: list[bytes] = []
        for _, plugin in self._plugins:
            outcome: Any = plugin.rewrite(exchange)
            refused = await outcome if inspect.isawaitable(outcome) else outcome
            if refused is None and exchange.consumer is not None:
                return None
            if refused is not None:
                challenges += refused.headers.all(b"www-authenticate")
        answer = Response.json(401, {"message": "Authorization Failed"})
        for challenge in challenges:
            answer.headers.add(b"www-authenticate", challenge)
        return answer


_AUTHENTICATING: dict[str, type[Plugin]] = {"basic-auth": BasicAuth, "jwt-auth": JwtAuth, "key-auth": KeyAuth}


def _authenticating(name: str) -> type[Plugin]:
    plugin = _AUTHENTICATING.get(name)
    if plugin is None:
        raise ValueError(f"{name} plugin is not supported")
    return plugin
