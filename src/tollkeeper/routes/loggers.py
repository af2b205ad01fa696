"""What plugins that write requests down have in common: which parts of a request they keep, and when a line is sent off."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from tollkeeper.routes.batches import Batches
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.records import LOG_FORMAT, record

_MOST = 512 * 1024
"""Bytes of a body that are logged."""
_FLAG: Schema = {"type": "boolean", "default": False}
_BYTES: Schema = {"type": "integer", "minimum": 1, "default": _MOST}
_RULES: Schema = {"type": "array", "minItems": 1, "items": {"type": "array"}}
_SIDES = (("request", "include_req_body"), ("response", "include_resp_body"))
FIELDS: Schema = {
    "log_format": LOG_FORMAT,
    "include_req_body": _FLAG,
    "include_req_body_expr": _RULES,
    "include_resp_body": _FLAG,
    "include_resp_body_expr": _RULES,
    "max_req_body_bytes": _BYTES,
    "max_resp_body_bytes": _BYTES,
}


class Logger(Plugin):
    """A line of JSON for every request, in batches. No request waits for it; what is lost is counted in the gate's log."""

    only_reads = True
    schema: ClassVar[Schema] = {"type": "object", "properties": FIELDS}
    metadata_schema: ClassVar[Schema | None] = {"type": "object", "properties": {"log_format": LOG_FORMAT}}

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for _, name in _SIDES:
            try:
                compiled(conf.get(name + "_expr", []))
            except BadExpression as error:
                raise ValueError(f"failed to validate the '{name}_expr' expression: {error}") from None

    def batched(self, *, size: int, quiet: float, longest: float, retries: int = 0, pause: float = 0.0) -> None:
        """To be said when it is prepared; see `Batches`."""
        self._bodies = {
            side: compiled(self.conf.get(name + "_expr", []), self.gate.patterns)
            for side, name in _SIDES
            if self.conf[name]
        }
        self._batches = Batches(
            self.deliver,
            lambda count, why: self.gate.say("plugin_log_lost", plugin=self.name, lines=count, reason=why),
            size=size,
            quiet=quiet,
            longest=longest,
            retries=retries,
            pause=pause,
        )

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """Sends one batch. Raises where it is not taken."""

    def wanted(self, exchange: Exchange) -> bool:
        """Whether a request is written down."""
        return True

    async def access(self, exchange: Exchange) -> Response | None:
        exchange.notes[self] = bytearray()
        if "request" in self._bodies:
            await exchange.request.read()
        return None

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        kept = exchange.notes.get(self)
        if "response" in self._bodies and kept is not None:
            kept += chunk[: max(self.conf["max_resp_body_bytes"] - len(kept), 0)]
        return chunk

    def log(self, exchange: Exchange) -> None:
        if not self.wanted(exchange):
            return
        bodies = {}
        wanted = {side for side, holds in self._bodies.items() if holds(exchange)}
        if "request" in wanted and exchange.request.whole is not None:
            bodies["request"] = exchange.request.whole[: self.conf["max_req_body_bytes"]]
        if "response" in wanted:
            bodies["response"] = bytes(exchange.notes.get(self, b""))
        log_format: Any = self.conf.get("log_format") or self.gate.metadata(self.name).get("log_format")
        self._batches.put(record(exchange, log_format, self.gate.now(), self.gate.monotonic(), bodies))

    def close(self) -> None:
        self._batches.flush()
