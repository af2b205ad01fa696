"""The outbound client for nodes that others than the operator may set: no address is reached that is not allowed.

Every address that a name has is looked at when a connection is made, and the connection goes to just those: a name that
answers one thing first and another later leads nowhere else (DNS rebinding).
"""

import asyncio
import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.core.hops import Hop, Tls
from tollkeeper.upstream import failures
from tollkeeper.upstream.client import HttpClient, Origin
from tollkeeper.upstream.connection import Answer, Connection
from tollkeeper.upstream.sockets import LARGEST, UpstreamSocket, opened

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_V4_BEHIND = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
"""IPv6 addresses that stand for the IPv4 one in their last four bytes: NAT64 (RFC 6052), compatible ones (RFC 4291)."""


class Allowed:
    """Which addresses nodes may have: all that are public, and the networks that the config names."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self.networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __call__(self, address: str) -> bool:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
        if inner is None and int(found) > 1 and any(found in network for network in _V4_BEHIND):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
        if any(found in network for network in self.networks):
            return True
        return found.is_global and not found.is_multicast


class NodeClient(HttpClient):
    """Implements `core.hops.Hops`, and `core.ports.Outbound` under the same rule."""

    def __init__(self, now: Callable[[], float], allowed: Allowed) -> None:
        super().__init__(now)
        self.allowed = allowed
        self._sockets: set[UpstreamSocket] = set()
        self._by_hop: dict[Hop, Origin] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    def send_to(
        self,
        hop: Hop,
        host: bytes,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Coroutine[Any, Any, Answer]:
        """See the port."""
        return self._send(self._origin(hop), host, target, method, headers, body, timeouts)

    async def probe(self, hop: Hop, seconds: float) -> None:
        """See the port."""
        connection = await self._connect(self._origin(hop), asyncio.get_running_loop(), seconds)
        connection.close()

    async def connect_to(
        self,
        hop: Hop,
        host: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        subprotocols: Sequence[str],
        seconds: float,
    ) -> UpstreamSocket:
        """See the port."""
        loop = asyncio.get_running_loop()
        origin = self._origin(hop)
        scheme = "ws" if hop.tls is None else "wss"
        try:
            uri = parse_uri(f"{scheme}://{host.decode('latin-1')}{target.decode('ascii')}")
        except InvalidURI:
            raise failures.not_http() from None
        offered = [Subprotocol(each) for each in subprotocols] or None
        protocol = ClientProtocol(uri, subprotocols=offered, max_size=LARGEST)

        async def connect(made: Callable[[], UpstreamSocket]) -> tuple[object, UpstreamSocket]:
            connected = await self._connected(loop, origin)
            try:
                return await loop.create_connection(made, sock=connected, **self._secured(origin))
            except BaseException:
                connected.close()
                raise

        return await opened(protocol, headers, connect, self._sockets, seconds)

    async def close(self) -> None:
        """Ends every connection and socket."""
        for each in list(self._sockets):
            each.abort()
        await super().close()

    def _origin(self, hop: Hop) -> Origin:
        origin = self._by_hop.get(hop)
        if origin is None:
            pooling = hop.pooling
            origin = Origin(hop.host, hop.port, hop.tls is not None, via=hop.tls, pooling=pooling)
            key = (hop.host, hop.port, hop.tls, pooling)
            origin = self._by_hop[hop] = self._origins.setdefault(key, origin)
        return origin

    async def _open(self, origin: Origin, loop: asyncio.AbstractEventLoop) -> Connection:
        connected = await self._connected(loop, origin)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._now), sock=connected, **self._secured(origin)
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a node, for a library that connects by itself. Raises UpstreamError where one is not allowed."""
        try:
            return await self._addresses(asyncio.get_running_loop(), host, port)
        except OSError as error:
            raise failures.translated(error) from error

    async def _addresses(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[str]:
        try:
            ipaddress.ip_address(host)
            addresses = [host]
        except ValueError:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            if not self.allowed(address):
                raise forbidden()
        return addresses

    async def _connected(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
        addresses = await self._addresses(loop, origin.host, origin.port)
        trouble: OSError = ConnectionRefusedError()
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            made = socket.socket(family, socket.SOCK_STREAM)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, (address, origin.port))
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return made
            except OSError as error:
                made.close()
                trouble = error
            except BaseException:
                made.close()
                raise
        raise trouble

    def _secured(self, origin: Origin) -> dict[str, Any]:
        if not origin.tls:
            return {}
        tls = origin.via
        if tls is None:
            return {"ssl": self._tls_context(), "server_hostname": origin.host}
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = _context(tls)
        return {"ssl": context, "server_hostname": tls.name}


def forbidden() -> TollkeeperError:
    """The node's address is none that nodes may have."""
    return UpstreamError(
        "The upstream's address is not one that nodes may have; see [routing] allow_nodes.",
        code="upstream_address_forbidden",
        retryable=False,
    )


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None and tls.key is not None:
        # OpenSSL's own loader takes files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
            file.write(tls.certificate + "\n" + tls.key)
        try:
            context.load_cert_chain(file.name)
        finally:
            os.unlink(file.name)
    return context
