"""A request's way: global rules, the route's plugins, its consumer's, the upstream, and the plugins on the way back."""

from collections.abc import Awaitable, Callable

from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Duplex
from tollkeeper.routes import chains
from tollkeeper.routes.chains import NOTHING, Chain, Step
from tollkeeper.routes.exchange import Exchange, Response, Stream
from tollkeeper.routes.proxying import Proxy, refused
from tollkeeper.routes.table import Table

Elsewhere = Callable[[Exchange], Awaitable[Response]]
"""Who answers where a route has no upstream: the gate's own endpoints."""
NOT_FOUND = b'{"error_msg":"404 Route Not Found"}\n'


class Pipeline:
    """Answers requests to ordinary routes."""

    def __init__(
        self, table: Table, proxy: Proxy, trouble: Callable[[str, Exception], None], clocks: tuple[Clock, Clock]
    ) -> None:
        """`clocks` tell Unix seconds and monotonic seconds."""
        self.table = table
        self._clocks = clocks
        self._proxy = proxy
        self._trouble = trouble

    async def answer(self, exchange: Exchange, elsewhere: Elsewhere) -> "Outgoing":
        """The answer, with everything run but what belongs to its body and its end. Raises ClientLeft."""
        route = exchange.route
        exchange.clocks = self._clocks
        rules = chain = NOTHING
        upstream = None
        try:
            rules = self.table.rules()
            if route is not None:
                chain, upstream = self.table.derived(route)
                exchange.own_upstream = upstream
            response, chain = await self._admitted(exchange, rules, chain)
            if response is None and exchange.serve is not None:
                response = await exchange.serve(exchange)
            if response is None:
                upstream = exchange.upstream or upstream
                if upstream is None:
                    response = await elsewhere(exchange)
                else:
                    response = await self._proxy.serve(exchange, upstream, None if route is None else route.timeouts)
        except BaseException as error:
            if not isinstance(error, TollkeeperError) or isinstance(error, ClientLeft):
                self._broke_off(exchange, (rules, chain), error)
                raise
            response = refused(error)
        try:
            outgoing = self._outgoing(exchange, response, rules, chain)
            return await self._begun(outgoing, exchange, rules, chain) if outgoing.held else outgoing
        except BaseException as error:
            self._broke_off(exchange, (rules, chain), error)
            raise

    async def _begun(self, outgoing: "Outgoing", exchange: Exchange, rules: Chain, chain: Chain) -> "Outgoing":
        """The answer, once its first piece is there; the gate's own where the upstream breaks off before that."""
        try:
            await outgoing.begin()
        except UpstreamError as error:
            return self._outgoing(exchange, refused(error), rules, chain)
        return outgoing

    def _broke_off(self, exchange: Exchange, parts: tuple[Chain, ...], error: BaseException) -> None:
        """There is no answer, whatever the reason: plugins give back what they took."""
        exchange.error = error
        chains.log(parts, exchange, self._trouble)

    async def open(self, exchange: Exchange) -> "tuple[Outgoing | None, Duplex | None, Callable[[], None]]":
        """For a WebSocket: the answer in its place, or the upstream's socket; and what is to be run once it has ended."""
        assert exchange.route is not None
        exchange.clocks = self._clocks
        rules = chain = NOTHING
        try:
            rules = self.table.rules()
            chain, upstream = self.table.derived(exchange.route)
            response, chain = await self._admitted(exchange, rules, chain)
            if response is None and exchange.serve is not None:
                response = await exchange.serve(exchange)
            upstream = exchange.upstream or upstream
            if response is None and upstream is None:
                raise CallerError("This route has no upstream.", status=404, code="not_found")
            if response is None and upstream is not None:
                socket, node = await self._proxy.open(exchange, upstream, exchange.route.timeouts)

                def ended() -> None:
                    node.active -= 1
                    chains.log((rules, chain), exchange, self._trouble)

                return None, socket, ended
        except BaseException as error:
            if not isinstance(error, TollkeeperError) or isinstance(error, ClientLeft):
                self._broke_off(exchange, (rules, chain), error)
                raise
            response = refused(error)
        assert response is not None
        return self._outgoing(exchange, response, rules, chain), None, lambda: None

    def _outgoing(self, exchange: Exchange, response: Response, rules: Chain, chain: Chain) -> "Outgoing":
        exchange.response = response
        parts = (rules, chain) if rules.members else (chain,)
        chains.filter_headers(parts, exchange)
        return Outgoing(exchange, parts, self._trouble)

    async def _admitted(self, exchange: Exchange, rules: Chain, chain: Chain) -> tuple[Response | None, Chain]:
        """The phases rewrite and access: the answer of a plugin, if one gives any, and the chain that holds from there."""
        response: Response | None = None
        for steps in (rules.rewrite, rules.access, chain.rewrite):
            if steps and response is None:
                outcome = chains.pass_through(steps, exchange)
                response = outcome if outcome is None or isinstance(outcome, Response) else await outcome
        own: tuple[Step, ...] = ()
        if exchange.consumer is not None:
            chain, own = self.table.with_consumer(exchange.route, exchange.consumer)
        for steps in (own, chain.access):
            if steps and response is None:
                outcome = chains.pass_through(steps, exchange)
                response = outcome if outcome is None or isinstance(outcome, Response) else await outcome
        return response, chain


class Outgoing:
    """An answer on its way to the client."""

    __slots__ = ("_exchange", "_filtered", "_first", "_over", "_parts", "_trouble", "held", "response")

    def __init__(self, exchange: Exchange, parts: tuple[Chain, ...], trouble: Callable[[str, Exception], None]) -> None:
        response = exchange.response
        assert response is not None
        self.response: Response = response
        self._exchange = exchange
        self._parts = parts
        self._trouble = trouble
        self._over = False
        self._filtered = False
        self._first: bytes | None = None
        self.held = False
        """Whether filters may hold the body back: its headers wait for its first piece, which `begin` fetches."""
        for part in parts:
            if part.body_filter:
                self._filtered = True
                if not part.keeps_length and not isinstance(response.body, bytes):
                    response.headers.remove(b"content-length")
                    self.held = not exchange.own

    @property
    def stream(self) -> Stream | None:
        """The body where it is still coming in; else `whole` has it."""
        body = self.response.body
        return None if isinstance(body, bytes) else body

    def whole(self) -> bytes:
        """The body of an answer that is here as a whole. Run once."""
        body = self.response.body
        assert isinstance(body, bytes)
        if self._filtered:
            body = chains.filter_body(self._parts, self._exchange, body, True)
        self._exchange.sent_bytes = len(body)
        self.finished(None)
        return body

    async def begin(self) -> None:
        """Waits for the first piece that goes out, or for the end. Raises UpstreamError where there is neither."""
        stream = self.stream
        assert stream is not None
        try:
            while (piece := await self.next_piece(stream)) == b"":
                pass
        except BaseException:
            stream.close()
            raise
        self._first = piece

    async def next_piece(self, stream: Stream) -> bytes | None:
        """The next piece of the body as the client gets it, which may be empty; None at the end. Raises UpstreamError."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        chunk = None if self._over else await stream.next_chunk()
        if chunk is None:
            if self._over or not self._filtered:
                return None
            self._over = True
            chunk = chains.filter_body(self._parts, self._exchange, b"", True)
        elif self._filtered:
            chunk = chains.filter_body(self._parts, self._exchange, chunk, False)
        self._exchange.sent_bytes += len(chunk)
        return chunk

    def finished(self, error: BaseException | None) -> None:
        """Everything is over: the phase log."""
        self._exchange.error = error
        for part in self._parts:
            if part.log:
                chains.log(self._parts, self._exchange, self._trouble)
                return
