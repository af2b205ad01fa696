"""ai-proxy: the route is answered by a model of one provider, with the provider's key and settings."""

from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core.account import Balancing
from tollkeeper.routes import model_work
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin


class AiProxy(Plugin):
    """Every call is held, metered and recorded like those of the model endpoints, under its consumer."""

    priority = 1040
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "provider": model_work.PROVIDER,
            "auth": model_work.AUTH,
            "options": model_work.OPTIONS,
            "override": model_work.OVERRIDE,
            "timeout": model_work.TIMEOUT,
            "max_req_body_size": model_work.MOST_BODY,
        },
        "required": ["provider", "auth"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        model_work.check(conf)

    def prepare(self) -> None:
        target = model_work.target(self.conf["provider"], self.conf, self.conf["timeout"])
        destination = model_work.destination([target], Balancing())
        self._work = model_work.Work(destination, [self.conf], self.conf["max_req_body_size"])

    def access(self, exchange: Exchange) -> None:
        # Answered after the rest of this phase: limits and restrictions of a lower priority come first.
        exchange.serve = self._work.served_by(self.gate.handle)
