"""One request to an upstream: a node is chosen, the request written anew, other nodes tried where one fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from string import ascii_letters, digits
from typing import Protocol
from urllib.parse import quote

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError, ClientLeft, GateError, TollkeeperError, UpstreamError
from tollkeeper.core.hops import Hops
from tollkeeper.core.ports import Duplex, Sent
from tollkeeper.routes.authentication import TOLD, withhold
from tollkeeper.routes.exchange import Exchange, Request, Response
from tollkeeper.routes.headers import Headers, spelt_otherwise
from tollkeeper.routes.nodes import Node
from tollkeeper.routes.upstreams import Upstream

_THIS_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"host", b"content-length"),
        *(b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"),
        *spelt_otherwise(b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"),
        *spelt_otherwise(b"x-forwarded-port", *TOLD),
    )
)
"""What is not passed on as it came: for one connection only (RFC 9110, 7.6.1), or written by us.

Upstreams that speak CGI or WSGI take `x_real_ip` for `x-real-ip`, so what is spelt so is not passed on either.
"""
_ANSWER_OF_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer", b"upgrade")
) | {b"transfer-encoding", b"date"}
"""Not passed on. The gate dates its answers itself, as nginx does: two dates are one too many (RFC 9110, 5.3)."""
_SAFE_TO_REPEAT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
"""Methods that a node may have begun to carry out twice (RFC 9110, 9.2.2)."""
_PAUSE, _LONGEST_PAUSE = 0.01, 1.0
"""Seconds before all nodes are tried once more, for each try so far, and at most."""
_BODILESS = (204, 304)
_BEFORE_SENDING = ("upstream_connect_timeout", "upstream_refused", "upstream_unknown_host", "upstream_tls_failed")


_PLAIN_IN_PATH = (ascii_letters + digits + "/%!$&'()*+,;=:@-._~").encode()
_PLAIN_IN_QUERY = bytes(each for each in range(0x21, 0x7F) if each != ord("#"))


class Watcher(Protocol):
    """Told how nodes fare, and begins to check them."""

    def begin(self, upstream: Upstream) -> None: ...

    def answered(self, upstream: Upstream, node: Node, status: int) -> None: ...

    def failed(self, upstream: Upstream, node: Node, error: TollkeeperError) -> None: ...


class Proxy:
    """Sends requests to upstreams."""

    def __init__(self, hops: Hops, watcher: Watcher, monotonic: Callable[[], float], most_proxies: int) -> None:
        """A request that came through so many proxies (by x-forwarded-for) is not sent on: a route that leads back to
        the gate would go round until all connections are used up."""
        self._hops = hops
        self._watcher = watcher
        self._monotonic = monotonic
        self._most_proxies = most_proxies

    async def serve(self, exchange: Exchange, upstream: Upstream, timeouts: Patience | None) -> Response:
        """The upstream's answer, its body still coming in where it did not come at once.

        Raises GateError (503) where it has no nodes, and UpstreamError (502, 504) after the last node.
        """
        if exchange.gate_key is not None:
            withhold(exchange)
        watched = upstream.checks is not None
        if watched:
            self._watcher.begin(upstream)
        tried: list[Node] = []
        begun = self._monotonic()
        while True:
            node = upstream.choose(exchange, tried)
            if node is None:
                raise GateError("The upstream has no node.", code="upstream_has_no_nodes", retryable=False)
            tried.append(node)
            exchange.node = node.name
            exchange.tries += 1
            node.active += 1
            try:
                return await self._ask(exchange, upstream, node, timeouts or upstream.timeouts, watched)
            except UpstreamError as error:
                node.active -= 1
                if watched:
                    self._watcher.failed(upstream, node, error)
                late = upstream.retry_timeout and self._monotonic() - begun >= upstream.retry_timeout
                if exchange.tries > upstream.retries or late or not _repeatable(exchange.request, error):
                    raise
                if exchange.presence.gone:
                    raise ClientLeft("The client left.") from error
                if len(tried) == sum(each.weight > 0 for each in upstream.nodes):
                    tried.clear()  # more retries than nodes: around again, ever more slowly
                    await asyncio.sleep(min(exchange.tries * _PAUSE, _LONGEST_PAUSE))
            except BaseException:
                node.active -= 1
                raise

    async def open(self, exchange: Exchange, upstream: Upstream, timeouts: Patience | None) -> tuple[Duplex, Node]:
        """A WebSocket to the first node that opens one, and the node, which has one more under way until it has ended.

        Raises GateError (503) and UpstreamError.
        """
        withhold(exchange)
        if upstream.checks is not None:
            self._watcher.begin(upstream)
        tried: list[Node] = []
        while True:
            node = upstream.choose(exchange, tried)
            if node is None:
                raise GateError("The upstream has no node.", code="upstream_has_no_nodes", retryable=False)
            tried.append(node)
            exchange.node = node.name
            exchange.tries += 1
            host = upstream.host_for(node, exchange)
            headers = [
                each
                for each in _headers(exchange.request, b"", self._most_proxies)
                if not each[0].startswith(b"sec-websocket-")
            ]
            offered = exchange.request.headers.get(b"sec-websocket-protocol") or b""
            subprotocols = [each.strip() for each in offered.decode("latin-1").split(",") if each.strip()]
            seconds = (timeouts or upstream.timeouts).connect
            node.active += 1
            try:
                socket = await self._hops.connect_to(
                    upstream.hop_to(node, host), host, target(exchange.request), headers, subprotocols, seconds
                )
                return socket, node
            except UpstreamError as error:
                node.active -= 1
                self._watcher.failed(upstream, node, error)
                if len(tried) > upstream.retries:
                    raise
            except BaseException:
                node.active -= 1
                raise

    async def _ask(
        self, exchange: Exchange, upstream: Upstream, node: Node, timeouts: Patience, watched: bool
    ) -> Response:
        request = exchange.request
        host = upstream.host_for(node, exchange)
        body = request.body
        headers = _headers(request, body, self._most_proxies)
        sent_at = self._monotonic()
        sent = await self._hops.send_to(
            upstream.hop_to(node, host), host, request.method.encode("ascii"), target(request), headers, body, timeouts
        )
        exchange.presence.on_leave(sent.close)
        await sent.head()
        now = self._monotonic()
        exchange.upstream_seconds, exchange.upstream_status = now - sent_at, sent.status
        if upstream.by_latency:
            node.took(now - sent_at, now)
        if watched:
            self._watcher.answered(upstream, node, sent.status)
        answer = Headers([header for header in sent.headers if header[0] not in _ANSWER_OF_HOP])
        if sent.status in _BODILESS:
            answer.remove(b"content-length")
        whole, ended = await sent.read(0)
        if ended:
            node.active -= 1
            return Response(sent.status, whole, answer)
        return Response(sent.status, _Pending(sent, node), answer)


class _Pending:
    """The rest of an answer; its node has one request less under way when it ends."""

    __slots__ = ("_node", "_sent")

    def __init__(self, sent: Sent, node: Node) -> None:
        self._sent = sent
        self._node: Node | None = node

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        try:
            chunk = await self._sent.next_chunk(timeout)
        except BaseException:
            self._done()
            raise
        if chunk is None:
            self._done()
        return chunk

    def close(self) -> None:
        self._done()
        self._sent.close()

    def _done(self) -> None:
        if self._node is not None:
            self._node.active -= 1
            self._node = None


def target(request: Request) -> bytes:
    """The path and query as they go upstream."""
    return encoded(request.path, request.query)


def encoded(path_text: str, query_text: str) -> bytes:
    """A path and a query in one, percent-encoded where they must be."""
    path = path_text.encode("utf-8", "surrogateescape")
    if path.translate(None, _PLAIN_IN_PATH):
        path = quote(path, safe=_PLAIN_IN_PATH).encode("ascii")
    if not query_text:
        return path
    query = query_text.encode("utf-8", "surrogateescape")
    if query.translate(None, _PLAIN_IN_QUERY):
        query = quote(query, safe=_PLAIN_IN_QUERY).encode("ascii")
    return path + b"?" + query


def _headers(request: Request, body: bytes | AsyncIterator[bytes], most_proxies: int) -> list[tuple[bytes, bytes]]:
    headers = forwarded(request)
    if headers[-1][1].count(b",") >= most_proxies:
        raise CallerError(
            f"This request has come through {most_proxies} proxies or more: it seems to go round in circles.",
            status=508,
            code="loop_detected",
        )
    if request.length is not None and not isinstance(body, bytes):
        headers.append((b"content-length", b"%d" % request.length))
    return headers


def forwarded(request: Request) -> list[tuple[bytes, bytes]]:
    """The client's headers but those of its connection, and whose they are; at last, the way that they have come."""
    given = request.headers
    headers = [header for header in given.items if header[0] not in _THIS_HOP]
    client, told = _told_of(request.client, request.scheme, request.server[1])
    headers += told
    headers.append((b"x-forwarded-host", given.get(b"host") or b""))
    headers.append((b"x-forwarded-for", b", ".join((*given.all(b"x-forwarded-for"), client))))
    return headers


@lru_cache(1024)
def _told_of(client: str, scheme: str, port: int) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The client's address, and the headers that all requests of its connection have in common."""
    address = client.encode("latin-1", "replace")
    return address, (
        (b"x-real-ip", address),
        (b"x-forwarded-proto", scheme.encode("ascii")),
        (b"x-forwarded-port", b"%d" % port),
    )


def _repeatable(request: Request, error: TollkeeperError) -> bool:
    """Whether another node may be asked: nothing reached this one, or asking twice does no harm."""
    if request.body_begun and request.whole is None:
        return False
    return error.code in _BEFORE_SENDING or request.method in _SAFE_TO_REPEAT


def refused(error: TollkeeperError) -> Response:
    """What the client is told where the gate itself answers: APISIX's form, our words."""
    words = error.message.replace("The provider", "The upstream", 1)
    return Response.json(error.status, {"error_msg": words, "code": error.code}, *error.headers)
