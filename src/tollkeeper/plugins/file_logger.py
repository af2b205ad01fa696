"""file-logger: writes a line of JSON for every request to a file."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from tollkeeper.routes.batches import Batches
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.records import LOG_FORMAT, record

_MOST = 512 * 1024
_QUIET = 0.05
"""Seconds that a line may wait for others before the file is opened for it."""


class FileLogger(Plugin):
    """The file lies below the gate's home: whoever may change routes must not thereby write anywhere."""

    priority = 399
    only_reads = True
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1},
            "log_format": LOG_FORMAT,
            "include_req_body": {"type": "boolean", "default": False},
            "include_resp_body": {"type": "boolean", "default": False},
            "max_req_body_bytes": {"type": "integer", "minimum": 1, "default": _MOST},
            "max_resp_body_bytes": {"type": "integer", "minimum": 1, "default": _MOST},
            "match": {"type": "array", "maxItems": 20, "items": {"type": "array"}},
        },
    }
    metadata_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"path": {"type": "string", "minLength": 1}, "log_format": LOG_FORMAT},
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if "path" in conf:
            _relative(conf["path"])
        for rules in conf.get("match", ()):
            try:
                compiled(rules)
            except BadExpression as error:
                raise ValueError(f"failed to validate the 'match' expression: {error}") from None

    def prepare(self) -> None:
        self._match = [compiled(rules) for rules in self.conf.get("match", ())]
        self._batches = Batches(
            self._deliver,
            lambda count, why: self.gate.say("plugin_log_lost", plugin="file-logger", lines=count, reason=why),
            size=1000,
            quiet=_QUIET,
            longest=1.0,
            retries=0,
            pause=0.0,
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
        if self._match and not any(holds(exchange) for holds in self._match):
            return
        bodies = {}
        if self.conf["include_req_body"] and exchange.request.whole is not None:
            bodies["request"] = exchange.request.whole[: self.conf["max_req_body_bytes"]]
        if self.conf["include_resp_body"]:
            bodies["response"] = bytes(exchange.notes.get(self, b""))
        log_format = self.conf.get("log_format") or self.gate.metadata("file-logger").get("log_format")
        self._batches.put(record(exchange, log_format, self.gate.now(), self.gate.monotonic(), bodies))

    def close(self) -> None:
        self._batches.flush()

    async def _deliver(self, lines: Sequence[bytes]) -> None:
        path = self.conf.get("path") or self.gate.metadata("file-logger").get("path")
        if path is None:
            raise ValueError("no path is configured")
        # A disk can stall; requests do not wait for it.
        await asyncio.to_thread(_append, self.gate.home, _relative(path), b"\n".join(lines) + b"\n")


def _relative(given: str) -> PurePosixPath:
    path = PurePosixPath(given)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in given or path.parts[0] != "logs":
        raise ValueError("path must be a relative one that begins with logs/: it lies below the gate's home")
    return path


def _append(home: Path, path: PurePosixPath, data: bytes) -> None:
    file = home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.resolve().is_relative_to((home / "logs").resolve()):
        raise ValueError("path leads out of the gate's home")
    with file.open("ab") as opened:
        opened.write(data)
