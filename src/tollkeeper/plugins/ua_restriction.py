"""ua-restriction: which user agents may pass."""

from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import text
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_PATTERNS: Schema = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}


class UaRestriction(Plugin):
    """By regular expressions over the header User-Agent."""

    priority = 2999
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "bypass_missing": {"type": "boolean", "default": False},
            "allowlist": _PATTERNS,
            "denylist": _PATTERNS,
            "message": {"type": "string", "minLength": 1, "maxLength": 1024, "default": "Not allowed"},
        },
        "oneOf": [{"required": ["allowlist"]}, {"required": ["denylist"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for each in (*conf.get("allowlist", ()), *conf.get("denylist", ())):
            try:
                patterns.compiled(each)
            except BadPattern as error:
                raise ValueError(f"invalid regular expression {each!r}: {error}") from None

    def prepare(self) -> None:
        self._allowed = [self.gate.patterns.compiled(each) for each in self.conf.get("allowlist", ())]
        self._denied = [self.gate.patterns.compiled(each) for each in self.conf.get("denylist", ())]

    def access(self, exchange: Exchange) -> Response | None:
        agents = exchange.request.headers.all(b"user-agent")
        if not agents:
            return None if self.conf["bypass_missing"] else self._refused()
        for agent in agents:
            name = text(agent).strip()
            if self._allowed:
                if not any(pattern.search(name) for pattern in self._allowed):
                    return self._refused()
            elif any(pattern.search(name) for pattern in self._denied):
                return self._refused()
        return None

    def _refused(self) -> Response:
        return Response.json(403, {"message": self.conf["message"]})
