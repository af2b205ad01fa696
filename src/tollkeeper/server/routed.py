"""Ordinary routes at the gate's door: a request becomes an exchange, an outgoing answer becomes a reply.

Routes are asked before everything else the gate has, but only where some are configured. The probes stay the gate's own.
What no route is for goes on to the model endpoints and published APIs where the path is one of theirs, and is a 404 in
APISIX's form otherwise. A route without upstream stands before the gate's own endpoints: its plugins and the global rules
run around them.
"""

import asyncio
import re
from collections.abc import AsyncIterable
from urllib.parse import quote, unquote_to_bytes

from tollkeeper.core.call import Reply, Sink
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError
from tollkeeper.core.limits import DoorLimits
from tollkeeper.routes.authentication import TOLD
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.exchange import Request as Asked
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.pipeline import NOT_FOUND, Outgoing, Pipeline
from tollkeeper.routes.proxying import refused, target
from tollkeeper.routes.room import Room
from tollkeeper.server import bodies
from tollkeeper.server.bodies import Message
from tollkeeper.server.door import Door, refusal
from tollkeeper.server.pouring import Pieces
from tollkeeper.server.protocol import NAMED
from tollkeeper.server.requests import Answerer, Request

_PROBES = (b"/healthz", b"/readyz")
_OWN = re.compile(
    rb"/(v1|v1beta|openai|api|mcp|chat|completions|embeddings|moderations|images|audio|responses|files|batches|models"
    rb"|engines|deployments|messages)(/|$)"
)
"""Paths of the model endpoints, and what they may be left out of."""
_SMALL = 64 * 1024
"""Bytes of a body that is read before it is sent on, so that it can be sent to another node too."""
_BODILESS = (204, 304)
_KEPT_ENCODED = re.compile(r"%(2[Ff]|25)")
_NOBODY = ("", 0)
_ASCII = bytes(range(128))


class Routed:
    """A `door.Taker`."""

    def __init__(self, pipeline: Pipeline, door: Door, limits: DoorLimits, room: Room) -> None:
        self.limits = limits
        self.room = room
        self._small = min(_SMALL, room.read_body)
        self._pipeline = pipeline
        self._door = door

    def take(self, request: Request) -> Answerer | None:
        """Who answers this request, if it concerns any route or global rule."""
        table = self._pipeline.table
        if table.empty or request.path in _PROBES:
            return None
        exchange = self._exchange(request)
        if table.reads_bodies and not exchange.request.whole and exchange.request.length != 0:

            async def read_first(request: Request) -> Reply:
                return await self._after_reading(request, exchange)

            return read_first
        return self._found(request, exchange)

    def _found(self, request: Request, exchange: Exchange) -> Answerer | None:
        table = self._pipeline.table
        own = False
        if not table.match(exchange):
            own = request.path in self._door.places or _OWN.match(request.path) is not None
            if own and not table.ruled:
                return None

        return lambda request: self._answer(request, exchange, own)

    async def _after_reading(self, request: Request, exchange: Exchange) -> Reply:
        try:
            await exchange.request.read()
        except CallerError as error:
            return _whole(request, refused(error))
        answerer = self._found(request, exchange)
        if answerer is None:
            return await self._elsewhere(request, exchange)
        return await answerer(request)

    async def _answer(self, request: Request, exchange: Exchange, own: bool) -> Reply:
        request.watch()

        async def elsewhere(exchange: Exchange) -> Response:
            if exchange.route is None and not own:
                return Response(404, NOT_FOUND, Headers([(b"content-type", b"application/json")]))
            exchange.own = True
            return _response(await self._elsewhere(request, exchange))

        asked = exchange.request
        if asked.length and asked.length <= self._small and asked.whole is None:
            asked.body = await bodies.whole(request.receive, self.limits.body)
        outgoing = await self._pipeline.answer(exchange, elsewhere)
        if exchange.own and outgoing.response.headers.get(b"x-request-id") is not None:
            # A plugin has put another id where ours would be, by which the call can be explained.
            outgoing.response.headers.set(b"x-tollkeeper-request-id", request.request_id.encode())
        response = outgoing.response
        if isinstance(response.body, bytes):
            response.body = outgoing.whole()
            return _whole(request, response)
        return _reply(request, response, b"", _Pour(outgoing))

    async def _elsewhere(self, request: Request, exchange: Exchange) -> Reply:
        """The gate's own answer to the request as plugins have left it. Raises ClientLeft."""
        asked = exchange.request
        path, _, query = target(asked).partition(b"?")
        scope: Message = {
            **request.scope,
            "method": asked.method,
            "path": asked.path,
            "raw_path": path,
            "query_string": query,
            "headers": asked.headers.items,
            NAMED: dict(asked.headers.items),
        }
        receive = request.receive if asked.whole is None else _given(asked.whole)
        inner = Request(scope, receive, request.request_id, request.accepted_at)
        inner.presence = request.presence
        if asked.whole is not None:
            asked.headers.set(b"content-length", b"%d" % len(asked.whole))
            inner.headers = asked.headers.items
            inner.named = dict(inner.headers)
        try:
            return await self._door.own(inner)(inner)
        except ClientLeft:
            raise
        except TollkeeperError as error:
            return refusal(inner, error)

    def _exchange(self, request: Request) -> Exchange:
        scope = request.scope
        named = request.named
        once = len(named) == len(request.headers)
        headers = Headers(list(request.headers), named if once else None)
        headers.remove(*TOLD)  # who calls is for plugins to say: not for the client, where no plugin authenticates it
        given = named.get(b"content-length")
        length = int(given) if given is not None else (None if b"transfer-encoding" in named else 0)
        body: bytes | AsyncIterable[bytes] = b""
        if length != 0:
            if length is not None:
                bodies.declared(given, self.limits.body)
            body = bodies.Streamed(request.receive, self.limits.body)
        asked = Asked(
            method=request.method,
            path=normalised(request.path),
            query=query_of(scope["query_string"]),
            headers=headers,
            client=scope.get("client") or _NOBODY,
            server=scope.get("server") or _NOBODY,
            scheme=scope.get("scheme", "http"),
            body=body,
            length=length,
            room=self.room,
        )
        return Exchange(asked, request.request_id, request.accepted_at, request.presence)


def query_of(raw: bytes) -> str:
    """The query as plugins and upstreams see it: bytes beyond ASCII percent-encoded, the rest as it was sent."""
    return raw.decode("ascii") if raw.isascii() else quote(raw, safe=_ASCII)


def normalised(raw: bytes) -> str:
    """The path as routes and upstreams see it: decoded but for %2F and %25, without dot segments.

    One form for both, so that no route's plugins are passed by by writing the same path otherwise.
    """
    arrived = raw.decode("latin-1")
    if "%" not in arrived and "/." not in arrived and arrived.isascii():
        return arrived
    parts = _KEPT_ENCODED.split(arrived)
    text = ""
    for place, part in enumerate(parts):
        if place % 2:
            text += "%" + part.upper()
        else:
            text += unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "surrogateescape")
    kept: list[str] = []
    segments = text.split("/")
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
            if last:
                kept.append("")
        elif segment == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/".join(kept) or "/"


def _whole(request: Request, response: Response) -> Reply:
    """`request` is the client's, whatever the upstream was asked."""
    body = response.body
    assert isinstance(body, bytes)
    headers = response.headers
    if request.method == "HEAD":
        body = b""
    elif response.status in _BODILESS:
        headers.remove(b"content-length")
        body = b""
    else:
        length = b"%d" % len(body)
        if headers.only(b"content-length") != length:
            headers.set(b"content-length", length)
    return _reply(request, response, body, None)


def _reply(request: Request, response: Response, body: bytes, pour: "_Pour | None") -> Reply:
    headers = response.headers
    if headers.get(b"x-request-id") is None:
        headers.items.append((b"x-request-id", request.request_id.encode()))
    return Reply(response.status, headers.items, body, pour, relayed=True)


class _Pour:
    """Pours a streaming answer into the client's sink, each piece as it comes."""

    __slots__ = ("_outgoing",)

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def __call__(self, sink: Sink) -> None:
        outgoing, stream = self._outgoing, self._outgoing.stream
        assert stream is not None
        trouble: BaseException | None = None
        try:
            while (chunk := await outgoing.next_piece(stream)) is not None:
                sink.write(chunk)
                blocked = sink.blocked
                if blocked is not None:
                    await blocked
        except BaseException as error:
            trouble = error
            stream.close()
            raise
        finally:
            outgoing.finished(trouble)


def _given(body: bytes) -> bodies.Receive:
    """An ASGI receive for a body that is here already."""
    waiting = [body]

    async def receive() -> Message:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": waiting.pop(), "more_body": False}

    return receive


def _response(reply: Reply) -> Response:
    headers = Headers([header for header in reply.headers if header[0] != b"content-length"])
    return Response(reply.status, reply.body if reply.pour is None else _Poured(reply), headers)


class _Poured:
    """A reply of the gate's own that is poured, as a stream for plugins to look at. Implements `routes.exchange.Stream`."""

    def __init__(self, reply: Reply) -> None:
        assert reply.pour is not None
        self._pieces = Pieces()
        self._task = asyncio.ensure_future(reply.pour(self._pieces))
        self._task.add_done_callback(lambda _: self._pieces.arrived.set())

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        while True:
            over = self._task.done()  # looked at first: what it wrote last is still to be taken
            if not over:
                await self._pieces.arrived.wait()
            data = self._pieces.take()
            if data:
                return data
            if over:
                await self._task
                return None

    def close(self) -> None:
        self._task.cancel()
