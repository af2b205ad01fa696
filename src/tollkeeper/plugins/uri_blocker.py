"""uri-blocker: which paths and queries are refused."""

import re
from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin


class UriBlocker(Plugin):
    """By regular expressions over the path and query as they were sent."""

    priority = 2900
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "block_rules": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 4096},
                "uniqueItems": True,
            },
            "rejected_code": {"type": "integer", "minimum": 200, "default": 403},
            "rejected_msg": {"type": "string", "minLength": 1},
            "case_insensitive": {"type": "boolean", "default": False},
        },
        "required": ["block_rules"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for each in conf["block_rules"]:
            try:
                patterns.compiled(each)
            except BadPattern as error:
                raise ValueError(f"invalid regular expression {each!r}: {error}") from None

    def prepare(self) -> None:
        flags = re.IGNORECASE if self.conf["case_insensitive"] else 0
        self._rules = [self.gate.patterns.compiled(each, flags) for each in self.conf["block_rules"]]

    def rewrite(self, exchange: Exchange) -> Response | None:
        asked = exchange.request.arrived
        if not any(rule.search(asked) for rule in self._rules):
            return None
        message = self.conf.get("rejected_msg")
        if message is None:
            return Response(self.conf["rejected_code"])
        return Response.json(self.conf["rejected_code"], {"error_msg": message})
