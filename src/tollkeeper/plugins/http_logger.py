"""http-logger: tells a server of every request, in batches."""

from collections.abc import Iterable, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from tollkeeper.core.errors import UpstreamError
from tollkeeper.routes.asking import ask
from tollkeeper.routes.batches import Batches
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.records import LOG_FORMAT, record

_MOST = 512 * 1024
"""Bytes of a body that are logged."""


class HttpLogger(Plugin):
    """JSON by POST. No request waits for it; what cannot be delivered after the retries is counted in the gate's log."""

    priority = 410
    only_reads = True
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "uri": {"type": "string", "pattern": r"^https?://"},
            "auth_header": {"type": "string"},
            "timeout": {"type": "integer", "minimum": 1, "default": 3},
            "log_format": LOG_FORMAT,
            "include_req_body": {"type": "boolean", "default": False},
            "include_resp_body": {"type": "boolean", "default": False},
            "max_req_body_bytes": {"type": "integer", "minimum": 1, "default": _MOST},
            "max_resp_body_bytes": {"type": "integer", "minimum": 1, "default": _MOST},
            "concat_method": {"type": "string", "enum": ["json", "new_line"], "default": "json"},
            "batch_max_size": {"type": "integer", "minimum": 1, "default": 1000},
            "inactive_timeout": {"type": "integer", "minimum": 1, "default": 5},
            "buffer_duration": {"type": "integer", "minimum": 1, "default": 60},
            "max_retry_count": {"type": "integer", "minimum": 0, "default": 0},
            "retry_delay": {"type": "integer", "minimum": 0, "default": 1},
            "name": {"type": "string"},
        },
        "required": ["uri"],
    }
    metadata_schema: ClassVar[Schema] = {"type": "object", "properties": {"log_format": LOG_FORMAT}}

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if not urlsplit(conf["uri"]).hostname:
            raise ValueError(f"uri has no host: {conf['uri']}")

    def prepare(self) -> None:
        conf = self.conf
        self._batches = Batches(
            self._deliver,
            lambda count, why: self.gate.say("plugin_log_lost", plugin="http-logger", lines=count, reason=why),
            size=conf["batch_max_size"],
            quiet=conf["inactive_timeout"],
            longest=conf["buffer_duration"],
            retries=conf["max_retry_count"],
            pause=conf["retry_delay"],
        )

    async def access(self, exchange: Exchange) -> None:
        exchange.notes[self] = bytearray()
        if self.conf["include_req_body"]:
            await exchange.request.read()

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        kept = exchange.notes.get(self)
        if self.conf["include_resp_body"] and kept is not None:
            kept += chunk[: max(self.conf["max_resp_body_bytes"] - len(kept), 0)]
        return chunk

    def log(self, exchange: Exchange) -> None:
        bodies = {}
        if self.conf["include_req_body"] and exchange.request.whole is not None:
            bodies["request"] = exchange.request.whole[: self.conf["max_req_body_bytes"]]
        if self.conf["include_resp_body"]:
            bodies["response"] = bytes(exchange.notes.get(self, b""))
        log_format = self.conf.get("log_format") or self.gate.metadata("http-logger").get("log_format")
        self._batches.put(record(exchange, log_format, self.gate.now(), self.gate.monotonic(), bodies))

    def close(self) -> None:
        self._batches.flush()

    async def _deliver(self, lines: Sequence[bytes]) -> None:
        in_json = self.conf["concat_method"] == "json"
        if not in_json:
            body = b"\n".join(lines)
        elif self.conf["batch_max_size"] == 1:
            body = lines[0]
        else:
            body = b"[" + b",".join(lines) + b"]"
        headers = [(b"content-type", b"application/json" if in_json else b"text/plain")]
        if "auth_header" in self.conf:
            headers.append((b"authorization", self.conf["auth_header"].encode("latin-1", "replace")))
        status, _, _ = await ask(
            self.gate.outbound, "POST", self.conf["uri"], headers, body, seconds=float(self.conf["timeout"])
        )
        if status >= 400:
            raise UpstreamError(f"the server returned status code {status}")
