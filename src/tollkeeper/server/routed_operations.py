"""Operations of APIs behind ordinary routes as tools at the gate's /mcp: a tool call is a request to the route.

The route's plugins run around it, with the caller's key where they ask for one, and nothing else is passed on of what the
caller has shown to /mcp.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import msgspec

from tollkeeper.core.call import Reply
from tollkeeper.core.errors import CallerError, GateError, TollkeeperError
from tollkeeper.mcp.operations import BadArguments, Operation
from tollkeeper.mcp.tool import Arguments, Refused, Tool
from tollkeeper.plugins.mcp_operations import McpOperations
from tollkeeper.routes import json_schema
from tollkeeper.routes.chains import Member
from tollkeeper.routes.table import Route, Table
from tollkeeper.server.bodies import Message
from tollkeeper.server.protocol import NAMED
from tollkeeper.server.requests import Answerer, Request

_KEPT = re.compile(
    rb"user-agent|accept-language|traceparent|tracestate|baggage|x-(?!api-key$|goog-api-key$|forwarded-).+"
)
"""Headers of a request to /mcp that the route's request has too."""
_ACCEPTS = [(b"accept", b"application/json, */*;q=0.5"), (b"accept-encoding", b"identity")]
_FOR_THE_GATE = (b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key")
"""Headers by which a key is shown to /mcp itself."""
_JSON = re.compile(rb"application/(?:[\w.+-]+\+)?json\b", re.I)


class RoutedOperations:
    """Finds them in the table of routes as it is, and sends their calls through the gate's door."""

    def __init__(self, table: Table, answerer: Callable[[Request], Answerer]) -> None:
        self._table = table
        self._answerer = answerer

    async def tools(self, request: Request, secret: bytes, taken: Collection[str], most: int) -> list[Tool]:
        """At most `most`, for whoever shows the key `secret`, with names that are not `taken`."""
        found: list[Tool] = []
        try:
            rules = self._table.rules().members
        except GateError:
            return found  # nobody gets through while a rule's plugin is gone
        names = set(taken)
        seen: set[tuple[int, str]] = set()
        for route, plugin, chain in self._table.routes_with("mcp-operations"):
            if not isinstance(plugin, McpOperations):
                continue
            for operation in (await plugin.found()).operations:
                if len(found) >= most:
                    return found
                if (id(plugin), operation.name) in seen or not route.offers(operation.method, operation.path):
                    continue
                seen.add((id(plugin), operation.name))
                name = _free(operation.name, names)
                names.add(name)
                members = (*chain.members, *rules)
                found.append(self._tool(name, operation, route, members, request, secret, plugin))
        return found

    def _tool(
        self,
        name: str,
        operation: Operation,
        route: Route,
        members: Iterable[Member],
        request: Request,
        secret: bytes,
        plugin: McpOperations,
    ) -> Tool:
        most: int = plugin.conf["max_answer_bytes"]

        async def run(arguments: Arguments) -> Any:
            wrong = json_schema.wrong(arguments, operation.takes)
            if wrong is not None:
                raise Refused(wrong)
            try:
                prepared = operation.prepared(arguments)
            except BadArguments as error:
                raise Refused(f"{error}.") from None
            headers = [header for header in request.headers if _KEPT.fullmatch(header[0])]
            given = {header for header, _ in prepared.headers}
            headers = [header for header in headers if header[0] not in given]
            headers += [(b"host", _host(route, request)), *_ACCEPTS, *prepared.headers]
            headers += _key_shown(members, secret, {header for header, _ in headers}, request)
            if prepared.body or operation.body is not None:
                headers.append((b"content-length", b"%d" % len(prepared.body)))
            scope: Message = {
                **request.scope,
                "method": prepared.method,
                "path": prepared.path,
                "raw_path": prepared.path.encode(),
                "query_string": prepared.query.encode(),
                "headers": headers,
                NAMED: dict(headers),
                "extensions": {},
            }
            inner = Request(scope, _given(prepared.body), request.request_id, request.accepted_at)
            inner.presence = request.presence
            return await self._answered(inner, most)

        return Tool(
            name=name,
            title=operation.title,
            description=operation.description,
            takes=operation.takes,
            run=run,
            checks_arguments=True,
            reads=operation.reads,
            destroys=not operation.reads,
            repeatable=operation.repeatable,
            reaches_out=True,
        )

    async def _answered(self, inner: Request, most: int) -> Any:
        try:
            reply = await self._answerer(inner)(inner)
            body = await _whole(reply, most)
        except TollkeeperError as error:
            raise Refused(error.message) from error
        kind = next((value for name, value in reply.headers if name == b"content-type"), b"")
        if reply.status >= 300:
            where = next((b" " + value for name, value in reply.headers if name == b"location"), b"")
            raise Refused(f"{reply.status}{where.decode('latin-1')} {body.decode('utf-8', 'replace')}".strip())
        if _JSON.match(kind):
            try:
                return msgspec.json.decode(body)
            except (msgspec.DecodeError, RecursionError):
                return body.decode("utf-8", "replace")
        try:
            return body.decode("utf-8") or f"{reply.status}"
        except UnicodeDecodeError:
            return f"{reply.status} with {len(body)} bytes of {kind.decode('latin-1') or 'no kind'}"


def _key_shown(
    members: Iterable[Member], secret: bytes, there: Collection[bytes], request: Request
) -> list[tuple[bytes, bytes]]:
    """How the route's plugins are shown the caller's key; what the caller has for them itself comes before it."""
    shown = []
    for member in members:
        header = member.plugin.shown_key(secret)
        if header is not None and header[0] not in there:
            own = None if header[0] in _FOR_THE_GATE else request.named.get(header[0])
            shown.append((header[0], header[1] if own is None else own))
    return list(dict(shown).items())


def _host(route: Route, request: Request) -> bytes:
    """A name that the route has; the one that the caller used, where any will do."""
    exact = [host for host in route.hosts if "*" not in host]
    return exact[0].encode() if exact else request.named.get(b"host", b"localhost")


def _free(name: str, taken: Collection[str]) -> str:
    number, found = 2, name
    while found in taken:
        found = f"{name[:60]}_{number}"
        number += 1
    return found


async def _whole(reply: Reply, most: int) -> bytes:
    """The answer's body. Raises CallerError where it is longer, and whatever breaks the answer off."""
    if reply.pour is None:
        body = reply.body
    else:
        gathered = _Gathered(most)
        pouring = asyncio.ensure_future(reply.pour(gathered))
        gathered.pouring = pouring
        try:
            await pouring
        except asyncio.CancelledError:
            if not gathered.full:
                raise
        finally:
            pouring.cancel()
        body = bytes(gathered.data)
    if len(body) > most:
        raise CallerError(f"The answer has more than {most} bytes: ask for less.", code="answer_too_long")
    return body


class _Gathered:
    """A `core.call.Sink` that keeps what it is given, and ends what gives it too much."""

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self.full = False
        self.pouring: asyncio.Future[None] | None = None
        self._most = most

    def write(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > self._most and self.pouring is not None and not self.full:
            self.full = True
            self.pouring.cancel()

    @property
    def blocked(self) -> Awaitable[None] | None:
        return None


def _given(body: bytes) -> Callable[[], Awaitable[Message]]:
    """An ASGI receive for a body that is here already."""
    waiting = [body]

    async def receive() -> Message:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": waiting.pop(), "more_body": False}

    return receive
