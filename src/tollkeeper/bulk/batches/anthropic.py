"""Anthropic's Message Batches API (https://platform.claude.com/docs/en/build-with-claude/batch-processing)."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.bulk.batches.service import Calls, Framing, Part, Renamed, Result, Standing, read_as
from tollkeeper.core.account import Target
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.crossing import Crossing
from tollkeeper.dialects.translators import TRANSLATORS

_OURS, _THEIRS = TRANSLATORS["openai_chat"], TRANSLATORS["anthropic_messages"]
_PATH = "chat/completions"
_AT = "messages/batches"
_OLDER = 3600
"""Seconds that the provider's clock may be behind ours."""
_STATUS = {
    # https://platform.claude.com/docs/en/api/errors
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_encode = msgspec.json.Encoder().encode


class _Batch(Struct):
    id: str
    processing_status: str = ""
    created_at: str = ""
    results_url: str | None = None
    request_counts: dict[str, int] = {}


class _Page(Struct):
    data: list[_Batch]
    has_more: bool = False
    last_id: str | None = None


class _Outcome(Struct):
    type: str
    message: Raw = Raw(b"null")
    error: Any = None


class _Line(Struct):
    custom_id: str
    result: _Outcome


_batch = msgspec.json.Decoder(_Batch).decode
_page = msgspec.json.Decoder(_Page).decode
_line = msgspec.json.Decoder(_Line).decode


class AnthropicBatches:
    """Implements `service.Service`. A batch has no metadata: whose it is, is read from its rows' ids once it is over."""

    most_rows = 100_000
    most_bytes = 240_000_000
    """Of 256 MB."""

    def __init__(self, calls: Calls, target: Target) -> None:
        self._calls = calls
        self._target = target
        self._origin = target.account.provider.name

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        if path != _PATH:
            raise CallerError(f"Anthropic's batches have no /v1/{path}.", code="batch_unsupported")
        return b'{"custom_id":%b,"params":%b}' % (_encode(custom_id), self._rendered(path, body).body)

    def renamed(self, path: str, body: bytes) -> Mapping[str, str]:
        has_tools = b'"tools"' in body or b'"functions"' in body
        return self._rendered(path, body).renamed if has_tools else {}

    def _rendered(self, path: str, body: bytes) -> Rendered:
        conversation = _OURS.read_request(body, path)
        terms = Terms(model=self._target.model or "", origin=self._origin, output_limit=self._target.max_output)
        return _THEIRS.render_request(conversation, terms)

    def framing(self, part: Part) -> Framing:
        return Framing(b'{"requests":[', b",\n", b"]}", "application/json")

    async def begin(self, part: Part, file: Path) -> str:
        return read_as(_batch, await self._calls.begin(_AT, file)).id

    async def find(self, part: Part, known: frozenset[str]) -> str | None:
        after = ""
        while True:
            page = read_as(_page, await self._calls.ask(f"{_AT}?limit=100{after}"))
            for each in page.data:
                counted = sum(each.request_counts.values())
                if each.id not in known and counted == part.rows and await self._is(part, each.id):
                    return each.id
            if not page.data or not page.has_more or _unix(page.data[-1].created_at) < part.planned_at - _OLDER:
                return None
            after = f"&after_id={page.last_id}"

    async def _is(self, part: Part, batch: str) -> bool:
        """Whether that batch has the part's rows, which shows when it has ended."""
        while not (await self.look(batch)).over:
            await self._calls.wait()
        async for line in self._lines(batch):
            return line.custom_id.startswith(part.token)
        return False

    async def look(self, batch: str) -> Standing:
        found = read_as(_batch, await self._calls.ask(f"{_AT}/{batch}"))
        return Standing(found.processing_status == "ended")

    async def results(self, part: Part, batch: str, renamed: Renamed) -> AsyncIterator[Result]:
        identity = Identity(id=part.token, created=part.planned_at, model=part.model)
        async for line in self._lines(batch):
            outcome = line.result
            if outcome.type == "succeeded":
                names = renamed.get(part.index(line.custom_id), {})
                sitting = Sitting(origin=self._origin, renamed=names, id=line.custom_id)
                try:
                    answer = Crossing(_OURS, _THEIRS, sitting, identity).answer(bytes(outcome.message))
                except (ValueError, RecursionError):
                    continue  # what cannot be read is a row without a result
                yield Result(line.custom_id, 200, answer.body, answer.heard)
            elif outcome.type == "errored":
                status, body = _error(outcome.error)
                yield Result(line.custom_id, status, body)
            else:
                yield Result(line.custom_id, 0, b'{"error":{"message":"%b","code":"batch_%b"}}' % _never(outcome.type))

    async def _lines(self, batch: str) -> AsyncIterator[_Line]:
        found = read_as(_batch, await self._calls.ask(f"{_AT}/{batch}"))
        async for text in self._calls.lines(found.results_url or f"{_AT}/{batch}/results"):
            try:
                yield _line(text)
            except (ValueError, RecursionError):
                continue


def _never(kind: str) -> tuple[bytes, bytes]:
    return f"The row was not run: {kind}.".encode(), kind.encode()


def _error(said: Any) -> tuple[int, bytes]:
    """{"type": "error", "error": {"type", "message"}} as a status and OpenAI's form."""
    inner = said.get("error", said) if isinstance(said, dict) else {}
    kind = str(inner.get("type")) if isinstance(inner, dict) else "api_error"
    status = _STATUS.get(kind, 500)
    return status, _OURS.render_failure(_THEIRS.read_error(status, _encode({"type": "error", "error": inner})))


def _unix(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
