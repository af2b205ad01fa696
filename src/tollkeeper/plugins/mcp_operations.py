"""mcp-operations: an OpenAPI document of what is behind the route makes its operations tools at the gate's own /mcp."""

import asyncio
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from tollkeeper.core.errors import TollkeeperError
from tollkeeper.mcp import documents
from tollkeeper.mcp.documents import BadDocument
from tollkeeper.mcp.operations import Found, operations
from tollkeeper.routes.asking import ask
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

FOLDER = "openapi"
"""Below the gate's home: what files are in. No other can be named, as routes may be made by chat."""
_SOURCES = ("openapi", "file", "url")
_AFTER_FAILURE = 10.0


class McpOperations(Plugin):
    """Has no part in the route's own requests. A tool call is a request to the route, with all that is put around it."""

    priority = 400
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "openapi": {"oneOf": [{"type": "object"}, {"type": "string", "minLength": 1}]},
            "file": {"type": "string", "minLength": 1, "maxLength": 256},
            "url": {"type": "string", "pattern": r"^https?://", "maxLength": 2048},
            "base_path": {"type": "string", "pattern": r"^/[!-~]*$", "maxLength": 1024},
            "prefix": {"type": "string", "pattern": r"^[A-Za-z0-9_-]*$", "maxLength": 32, "default": ""},
            "only": {"type": "array", "items": {"type": "string"}, "default": []},
            "max_tools": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50},
            "max_bytes": {"type": "integer", "minimum": 1, "maximum": 16_000_000, "default": 1_000_000},
            "max_answer_bytes": {"type": "integer", "minimum": 1, "maximum": 16_000_000, "default": 100_000},
            "refresh": {"type": "integer", "minimum": 1, "default": 300},
            "timeout": {"type": "integer", "minimum": 1, "maximum": 60, "default": 5},
        },
        "additionalProperties": False,
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        if sum(source in conf for source in _SOURCES) != 1:
            raise ValueError("expected one of openapi, file and url")
        file = conf.get("file")
        if file is not None and (
            PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts or "\\" in file
        ):
            raise ValueError(f"file is below the folder {FOLDER} in the gate's home: {file}")
        if "openapi" in conf and not _read(conf["openapi"], conf).operations:
            raise ValueError("openapi: none of its operations can be a tool")

    def prepare(self) -> None:
        self._lock = asyncio.Lock()
        self._found = Found()
        self._mark: object = None
        """What tells whether the file is another than was read."""
        self._due = 0.0

    async def found(self) -> Found:
        """The operations. A document that cannot be had or used is told in the log; what was known before stays."""
        async with self._lock:
            if "openapi" in self.conf:
                if self._mark is None:
                    await self._take(self.conf["openapi"], True)
            elif "file" in self.conf:
                await self._look_at_file()
            elif self.gate.monotonic() >= self._due:
                await self._fetch()
            return self._found

    async def _look_at_file(self) -> None:
        folder = (self.gate.home / FOLDER).resolve()
        try:
            path = (folder / self.conf["file"]).resolve()
            if not path.is_relative_to(folder):
                raise OSError(f"{self.conf['file']} is not in {FOLDER}")
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
            if mark != self._mark:
                await self._take(await asyncio.to_thread(_bytes_of, path, self.conf["max_bytes"]), mark)
        except (OSError, RuntimeError) as error:
            if self._mark != str(error):
                self._mark = str(error)
                self._say(f"the document cannot be read: {error}")

    async def _fetch(self) -> None:
        seconds, most = float(self.conf["timeout"]), self.conf["max_bytes"]
        self._due = self.gate.monotonic() + _AFTER_FAILURE
        accept = [(b"accept", b"application/json, application/yaml;q=0.9, */*;q=0.1")]
        try:
            status, _, body = await ask(self.gate.outbound, "GET", self.conf["url"], accept, seconds=seconds, most=most)
        except TollkeeperError as error:
            self._say(f"the document cannot be fetched: {error.message}")
            return
        if status != 200:
            self._say(f"the document cannot be fetched: {status}")
            return
        if body == self._mark or await self._take(body, body):
            self._due = self.gate.monotonic() + self.conf["refresh"]

    async def _take(self, source: Any, mark: object) -> bool:
        try:
            self._found = await asyncio.to_thread(_read, source, self.conf)
        except BadDocument as error:
            self._say(str(error))
            return False
        finally:
            self._mark = mark
        for each in self._found.left_out[:20]:
            self._say(f"no tool: {each}")
        return True

    def _say(self, words: str) -> None:
        self.gate.say("mcp_operations", reason=words[:500])


def _read(source: Any, conf: Conf) -> Found:
    """Raises BadDocument."""
    most: int = conf.get("max_bytes", 1_000_000)
    document = documents.read(source, most) if isinstance(source, str | bytes) else documents.checked(source)
    return operations(
        document,
        base_path=conf.get("base_path"),
        prefix=conf.get("prefix", ""),
        only=conf.get("only", ()),
        most=conf.get("max_tools", 50),
    )


def _bytes_of(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)
