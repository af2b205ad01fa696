"""http-logger: tells a server of every request, in batches."""

from collections.abc import Iterable, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from tollkeeper.core.errors import UpstreamError
from tollkeeper.routes.asking import ask
from tollkeeper.routes.headers import written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.loggers import FIELDS, Logger
from tollkeeper.routes.plugin import Conf


class HttpLogger(Logger):
    """JSON by POST. No request waits for it; what cannot be delivered after the retries is counted in the gate's log."""

    priority = 410
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "uri": {"type": "string", "pattern": r"^https?://"},
            "auth_header": {"type": "string"},
            "timeout": {"type": "integer", "minimum": 1, "default": 3},
            **FIELDS,
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

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        super().check(conf, others)
        if not urlsplit(conf["uri"]).hostname:
            raise ValueError(f"uri has no host: {conf['uri']}")

    def prepare(self) -> None:
        conf = self.conf
        self.batched(
            size=conf["batch_max_size"],
            quiet=conf["inactive_timeout"],
            longest=conf["buffer_duration"],
            retries=conf["max_retry_count"],
            pause=conf["retry_delay"],
        )

    async def deliver(self, lines: Sequence[bytes]) -> None:
        in_json = self.conf["concat_method"] == "json"
        if not in_json:
            body = b"\n".join(lines)
        elif self.conf["batch_max_size"] == 1:
            body = lines[0]
        else:
            body = b"[" + b",".join(lines) + b"]"
        headers = [(b"content-type", b"application/json" if in_json else b"text/plain")]
        if "auth_header" in self.conf:
            headers.append((b"authorization", written(self.conf["auth_header"])))
        status, _, _ = await ask(
            self.gate.outbound, "POST", self.conf["uri"], headers, body, seconds=float(self.conf["timeout"])
        )
        if status >= 400:
            raise UpstreamError(f"the server returned status code {status}")
