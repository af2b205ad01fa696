"""OpenAI's Batch API (https://platform.openai.com/docs/guides/batch)."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.bulk.batches.service import Calls, Framing, Part, Renamed, Result, Standing, read_as
from tollkeeper.core.account import Target
from tollkeeper.core.usage import Heard
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.wire import json_text

_OURS = "tollkeeper"
"""The member of a batch's metadata that has a part's token."""
_OLDER = 3600
"""Seconds that the provider's clock may be behind ours."""
_OVER = frozenset(("completed", "failed", "expired", "cancelled"))
_encode = msgspec.json.Encoder().encode


class _Batch(Struct):
    id: str
    status: str = ""
    created_at: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: dict[str, Any] | None = None
    errors: Any = None


class _Page(Struct):
    data: list[_Batch]
    has_more: bool = False


class _Response(Struct):
    status_code: int = 0
    request_id: str | None = None
    body: Raw = Raw(b"null")


class _Line(Struct):
    custom_id: str
    response: _Response | None = None
    error: Raw = Raw(b"null")


_batch = msgspec.json.Decoder(_Batch).decode
_page = msgspec.json.Decoder(_Page).decode
_line = msgspec.json.Decoder(_Line).decode


class OpenAIBatches:
    """Implements `service.Service`."""

    most_rows = 50_000
    most_bytes = 190_000_000
    """Of 200 MB."""

    def __init__(self, calls: Calls, target: Target) -> None:
        self._calls = calls
        self._target = target

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        members = json_text.members(body)
        changed = json_text.replaced(body, members, {"model": _encode(self._target.model)})
        return b'{"custom_id":%b,"method":"POST","url":"/v1/%b","body":%b}' % (
            _encode(custom_id),
            path.encode(),
            changed,
        )

    def framing(self, part: Part) -> Framing:
        boundary = f"tollkeeper-{part.token}"
        fields = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
            f'content-disposition: form-data; name="file"; filename="{part.token}.jsonl"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        )
        return Framing(
            fields.encode(), b"\n", f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
        )

    async def begin(self, part: Part, file: Path) -> str:
        uploaded = read_as(_batch, await self._calls.upload("files", file, self.framing(part).kind))
        wanted = {
            "input_file_id": uploaded.id,
            "endpoint": f"/v1/{part.path}",
            "completion_window": "24h",
            "metadata": {_OURS: part.token},
        }
        return read_as(_batch, await self._calls.begin("batches", _encode(wanted))).id

    async def find(self, part: Part, known: frozenset[str]) -> str | None:
        after = ""
        while True:
            page = read_as(_page, await self._calls.ask(f"batches?limit=100{after}"))
            for each in page.data:
                if (each.metadata or {}).get(_OURS) == part.token:
                    return each.id
            if not page.data or not page.has_more or page.data[-1].created_at < part.planned_at - _OLDER:
                return None
            after = f"&after={page.data[-1].id}"

    async def look(self, batch: str) -> Standing:
        found = read_as(_batch, await self._calls.ask(f"batches/{batch}"))
        if found.status != "failed":
            return Standing(found.status in _OVER)
        errors = found.errors.get("data") if isinstance(found.errors, dict) else None
        listed = [each for each in errors or [] if isinstance(each, dict)]
        said = "; ".join(dict.fromkeys(str(each.get("message")) for each in listed[:5])) or "it does not say why"
        lines = tuple(
            (each["line"] - 1, str(each.get("message"))) for each in listed if isinstance(each.get("line"), int)
        )
        return Standing(True, said, str(listed[0].get("code")) if listed else None, lines)

    def renamed(self, path: str, body: bytes) -> Mapping[str, str]:
        return {}  # a row goes as it is

    async def results(self, part: Part, batch: str, renamed: Renamed) -> AsyncIterator[Result]:
        found = read_as(_batch, await self._calls.ask(f"batches/{batch}"))
        dialect = endpoint(part.path, "POST").dialect
        for file in (found.output_file_id, found.error_file_id):
            if not file:
                continue
            async for text in self._calls.lines(f"files/{file}/content"):
                try:
                    line = _line(text)
                    response = line.response
                    if response is None or not response.status_code:
                        yield Result(line.custom_id, 0, b'{"error":%b}' % bytes(line.error))
                        continue
                    body = bytes(response.body)
                    heard = dialect.read_answer(body) if response.status_code < 300 else Heard()
                except (ValueError, RecursionError):
                    continue  # what cannot be read is a row without a result
                yield Result(line.custom_id, response.status_code, body, heard, response.request_id)
