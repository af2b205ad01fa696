"""ai-proxy: the route is answered by a model of one provider, with the provider's key and settings."""

from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.routes import model_instances
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.model_work import MOST_BODY, Choice, Work
from tollkeeper.routes.plugin import Conf, Plugin


class AiProxy(Plugin):
    """Every call is held, metered and recorded like those of the model endpoints, under its consumer."""

    priority = 1040
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            **model_instances.FIELDS,
            "timeout": model_instances.TIMEOUT,
            "max_stream_duration_ms": model_instances.LONGEST_STREAM,
            "max_req_body_size": MOST_BODY,
            "ssl_verify": model_instances.VERIFIED,
            **model_instances.TUNING,
        },
        "required": ["provider", "auth"],
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        model_instances.check(conf)

    def prepare(self) -> None:
        self._name: str = self.conf["provider"]
        self._work = Work(self.gate, self.conf, {self._name: self.conf})

    def access(self, exchange: Exchange) -> None:
        exchange.notes[Choice] = Choice([self._name], prefix="ai-proxy-")
        # Answered after the rest of this phase: limits and restrictions of a lower priority come first.
        exchange.serve = self._work.serve
