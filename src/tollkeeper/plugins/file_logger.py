"""file-logger: writes a line of JSON for every request to a file."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.expressions import BadExpression, compiled
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.loggers import FIELDS, Logger
from tollkeeper.routes.plugin import Conf
from tollkeeper.routes.records import LOG_FORMAT

_QUIET = 0.05
"""Seconds that a line may wait for others before the file is opened for it."""


class FileLogger(Logger):
    """The file lies below the gate's home: whoever may change routes must not thereby write anywhere."""

    priority = 399
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1},
            **FIELDS,
            "match": {"type": "array", "maxItems": 20, "items": {"type": "array"}},
        },
    }
    metadata_schema: ClassVar[Schema | None] = {
        "type": "object",
        "properties": {"path": {"type": "string", "minLength": 1}, "log_format": LOG_FORMAT},
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        super().check(conf, others)
        if "path" in conf:
            _relative(conf["path"])
        for rules in conf.get("match", ()):
            try:
                compiled(rules)
            except BadExpression as error:
                raise ValueError(f"failed to validate the 'match' expression: {error}") from None

    def prepare(self) -> None:
        self._match = [compiled(rules, self.gate.patterns) for rules in self.conf.get("match", ())]
        self.batched(size=1000, quiet=_QUIET, longest=1.0)

    def wanted(self, exchange: Exchange) -> bool:
        return not self._match or any(holds(exchange) for holds in self._match)

    async def deliver(self, lines: Sequence[bytes]) -> None:
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
