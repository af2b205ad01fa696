"""/v1/files and /v1/batches, where the gate keeps and runs them itself: for models whose provider has no batch API.

What goes to a provider that has one is passed on as it came. Which it is, is decided by the first model that the
file's lines name; later requests are decided by their ids.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs

import msgspec

from tollkeeper.bulk.served import BATCH, FILE, Batch, File, Served
from tollkeeper.core.call import Reply, Sink
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.ports import Keys
from tollkeeper.server import bodies
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.requests import (
    Answerer,
    Request,
    check_framing,
    json_body,
    key_of,
    kind_of,
    members_of,
    method_not_allowed,
)
from tollkeeper.wire import multipart

_JSON = (b"content-type", b"application/json")
_PIECE = 256 * 1024
_LINES = 100
"""Among which a file must name a model, to be more than a file."""
_LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of a line that is looked into for that."""
_PROVIDER = b"x-tollkeeper-provider"


class Batches:
    """Answers what is the gate's own; the rest goes to `relay`. Where `provider_of` gives no name, it is the gate's own."""

    def __init__(
        self,
        served: Served,
        keys: Keys,
        relay: Answerer,
        limits: Callable[[], DoorLimits],
        provider_of: Callable[[str | None], str | None],
        all_have_it: Callable[[], bool],
    ) -> None:
        self._served = served
        self._keys = keys
        self._relay = relay
        self._limits = limits
        self._provider_of = provider_of
        self._all_have_it = all_have_it

    def take(self, request: Request) -> Answerer | None:
        """Who answers, if it may be ours."""
        path = request.path
        if path.find(b"/files") < 0 and path.find(b"/batches") < 0:
            return None
        first, _, rest = path.decode("ascii", "replace").strip("/").removeprefix("v1/").partition("/")
        if first not in ("files", "batches"):
            return None
        if rest.startswith((FILE, BATCH)):
            return self._of_id(first, *rest.partition("/")[::2])
        if rest or _PROVIDER in request.named or self._all_have_it():
            return None
        if request.method == "POST":
            return self._upload if first == "files" else self._create
        if request.method == "GET" and self._served.used and self._provider_of(None) is None:
            return self._list(first)
        return None

    # --- files ------------------------------------------------------------------------------------------------------

    async def _upload(self, request: Request) -> Reply:
        key = key_of(request.named, self._keys)
        check_framing(request)
        if not kind_of(request).startswith("multipart/"):
            return await self._relay(request)
        limit = self._limits().body
        bodies.declared(request.named.get(b"content-length"), limit)
        kept = self._served.new_path()
        try:
            with kept.open("wb") as stream:
                async for chunk in bodies.streamed(request.receive, limit):
                    stream.write(chunk)
            form = await asyncio.to_thread(_read, kept, request.named[b"content-type"].decode("latin-1"))
            if form is not None and form.purpose == "batch" and form.model is not None:
                provider = self._provider_of(form.model)
                if provider is None:
                    return _json(_shown(await self._taken(kept, form, key)))
                request.headers = [*request.headers, (_PROVIDER, provider.encode())]
                request.named[_PROVIDER] = provider.encode()
            with kept.open("rb") as stream:
                request.receive = _replayed(stream.read, request.receive)
                return await self._relay(request)
        finally:
            kept.unlink(missing_ok=True)

    async def _taken(self, kept: Path, form: "_Form", key: Key) -> File:
        inner = self._served.new_path()
        await asyncio.to_thread(_copy, kept, form.start, form.end, inner)
        return self._served.take(inner, form.filename, "batch", key.id, key.tenant)

    def _of_id(self, first: str, id: str, below: str) -> Answerer:
        async def answer(request: Request) -> Reply:
            key = key_of(request.named, self._keys)
            asked = (first, request.method, below)
            if asked == ("files", "GET", ""):
                return _json(_shown(self._served.file(id, key)))
            if asked == ("files", "GET", "content"):
                return _content(self._served.content(self._served.file(id, key).id))
            if asked == ("files", "DELETE", ""):
                self._served.delete(id, key)
                return _json({"id": id, "object": "file", "deleted": True})
            if asked == ("batches", "GET", ""):
                return _json(_shown(self._served.batch(id, key)))
            if asked == ("batches", "POST", "cancel"):
                return _json(_shown(self._served.cancel(id, key)))
            raise method_not_allowed(frozenset(("GET", "POST" if first == "batches" else "DELETE")))

        return answer

    # --- batches ----------------------------------------------------------------------------------------------------

    async def _create(self, request: Request) -> Reply:
        key = key_of(request.named, self._keys)
        body = await json_body(request, self._limits(), "/v1/batches")
        wanted = {name: msgspec.json.decode(value) for name, value in members_of(body).items()}
        if str(wanted.get("input_file_id")).startswith(FILE):
            return _json(_shown(self._served.create(wanted, key)))
        rest = [body]
        request.receive = _replayed(lambda size: rest.pop() if rest else b"", request.receive)
        return await self._relay(request)

    def _list(self, first: str) -> Answerer:
        async def answer(request: Request) -> Reply:
            key = key_of(request.named, self._keys)
            query = parse_qs(request.scope["query_string"].decode("ascii", "ignore"))
            found: list[Any] = list(self._served.files(key) if first == "files" else self._served.batches(key))
            after, limit = query.get("after", [""])[0], query.get("limit", ["20" if first == "batches" else "10000"])[0]
            if not limit.isdecimal() or len(limit) > 18 or not int(limit):
                raise CallerError("'limit' must be a number, 1 or more.", code="invalid_value", param="limit")
            if after:
                found = [each for each in found if each.id < after]
            page = found[: int(limit)]
            return _json(
                {
                    "object": "list",
                    "data": [_shown(each) for each in page],
                    "first_id": page[0].id if page else None,
                    "last_id": page[-1].id if page else None,
                    "has_more": len(found) > len(page),
                }
            )

        return answer


class _Form(msgspec.Struct):
    purpose: str
    filename: str
    start: int
    end: int
    """Of the file's content in the form."""
    model: str | None
    """The first that a line names."""


class _Body(msgspec.Struct):
    model: str | None = None


class _Line(msgspec.Struct):
    body: _Body = msgspec.field(default_factory=_Body)


def _read(path: Path, content_type: str) -> _Form | None:
    """None where it is not a form with a file and a purpose: the provider says what is wrong with it. Blocking."""
    with path.open("rb") as stream:
        form = _Stored(stream, path.stat().st_size)
        try:
            parts = {part.name: part for part in multipart.parts(form, multipart.boundary_of(content_type))}
        except multipart.BadForm:
            return None
        file, purpose = parts.get("file"), parts.get("purpose")
        if file is None or purpose is None or purpose.end - purpose.start > 64:
            return None
        return _Form(
            form[purpose.start : purpose.end].decode("utf-8", "replace"),
            file.filename or "batch.jsonl",
            file.start,
            file.end,
            _model(form, file.start, file.end),
        )


class _Stored:
    """A file's bytes, looked through piece by piece. A search in a memory map would hold every thread until it ends."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size

    def find(self, wanted: bytes, start: int = 0, end: int | None = None, /) -> int:
        end = self._size if end is None else min(end, self._size)
        at = max(start, 0)
        self._stream.seek(at)
        before = b""
        while at < end and (piece := self._stream.read(min(_PIECE, end - at))):
            found = (before + piece).find(wanted)
            if found >= 0:
                return at - len(before) + found
            at += len(piece)
            before = (before + piece)[1 - len(wanted) :] if len(wanted) > 1 else b""
        return -1

    def __getitem__(self, part: slice, /) -> bytes:
        start, end, _ = part.indices(self._size)
        self._stream.seek(start)
        return self._stream.read(max(0, end - start))


def _model(form: _Stored, start: int, end: int) -> str | None:
    """The first that is named; None where it is not among the first lines."""
    for _ in range(_LINES):
        line_end = form.find(b"\n", start, end)
        last = line_end if line_end >= 0 else end
        if last - start <= _LONGEST_LINE:
            with suppress(msgspec.DecodeError, RecursionError):
                line = form[start:last].removeprefix(b"\xef\xbb\xbf")
                found = msgspec.json.decode(line, type=_Line).body.model
                if found is not None:
                    return found
        if line_end < 0:
            break
        start = line_end + 1
    return None


def _copy(source: Path, start: int, end: int, target: Path) -> None:
    """Blocking."""
    with source.open("rb") as read, target.open("wb") as written:
        read.seek(start)
        left = end - start
        while left > 0 and (piece := read.read(min(_PIECE, left))):
            written.write(piece)
            left -= len(piece)


def _replayed(read: Callable[[int], bytes], then: Receive) -> Receive:
    """A body that was read already, and after it whatever the client does."""
    over = False

    async def receive() -> Message:
        nonlocal over
        if over:
            return await then()
        piece = read(_PIECE)
        over = not piece
        return {"type": "http.request", "body": piece, "more_body": not over}

    return receive


def _shown(what: File | Batch) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(what)
    del found["key"], found["tenant"]
    return found


def _json(value: Any) -> Reply:
    return Reply(200, [_JSON], msgspec.json.encode(value))


def _content(path: Path) -> Reply:
    async def pour(sink: Sink) -> None:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                sink.write(piece)
                blocked = sink.blocked
                if blocked is not None:
                    await blocked

    return Reply(200, [(b"content-type", b"application/octet-stream")], pour=pour)
