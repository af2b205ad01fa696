"""What plugins that write requests down have in common: which parts of a request they keep, and when a line is sent off."""

from collections.abc import Sequence
from typing import Any, ClassVar

from tollkeeper.routes.batches import Batches
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin
from tollkeeper.routes.records import LOG_FORMAT, record

_MOST = 512 * 1024
"""Bytes of a body that are logged."""
_FLAG: Schema = {"type": "boolean", "default": False}
_BYTES: Schema = {"type": "integer", "minimum": 1, "default": _MOST}
FIELDS: Schema = {
    "log_format": LOG_FORMAT,
    "include_req_body": _FLAG,
    "include_resp_body": _FLAG,
    "max_req_body_bytes": _BYTES,
    "max_resp_body_bytes": _BYTES,
}


class Logger(Plugin):
    """A line of JSON for every request, in batches. No request waits for it; what is lost is counted in the gate's log."""

    only_reads = True
    schema: ClassVar[Schema] = {"type": "object", "properties": FIELDS}
    metadata_schema: ClassVar[Schema | None] = {"type": "object", "properties": {"log_format": LOG_FORMAT}}

    def batched(self, *, size: int, quiet: float, longest: float, retries: int = 0, pause: float = 0.0) -> None:
        """To be said when it is prepared; see `Batches`."""
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
        if self.conf["include_req_body"]:
            await exchange.request.read()
        return None

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        kept = exchange.notes.get(self)
        if self.conf["include_resp_body"] and kept is not None:
            kept += chunk[: max(self.conf["max_resp_body_bytes"] - len(kept), 0)]
        return chunk

    def log(self, exchange: Exchange) -> None:
        if not self.wanted(exchange):
            return
        bodies = {}
        if self.conf["include_req_body"] and exchange.request.whole is not None:
            bodies["request"] = exchange.request.whole[: self.conf["max_req_body_bytes"]]
        if self.conf["include_resp_body"]:
            bodies["response"] = bytes(exchange.notes.get(self, b""))
        log_format: Any = self.conf.get("log_format") or self.gate.metadata(self.name).get("log_format")
        self._batches.put(record(exchange, log_format, self.gate.now(), self.gate.monotonic(), bodies))

    def close(self) -> None:
        self._batches.flush()
