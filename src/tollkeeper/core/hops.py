"""The next hop of an ordinary request: its address, how it is reached, and the port that sends it there."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from tollkeeper.core.account import Patience
from tollkeeper.core.ports import Duplex, Sent


class Tls(Struct, frozen=True, kw_only=True):
    """How TLS to a node is done."""

    name: str
    """The name that its certificate must have, and that it is told."""
    verify: bool = True
    certificate: str | None = None
    """Our own, and its key: PEM."""
    key: str | None = None


class Pooling(Struct, frozen=True, kw_only=True):
    """How connections to a node are kept."""

    size: int = 320
    """Idle ones that are kept."""
    idle: float = 60.0
    """Seconds that one may be idle."""
    requests: int = 1000
    """Requests on one connection."""


class Hop(Struct, frozen=True, cache_hash=True):
    """One node, reached in one way."""

    host: str
    """A name or an address, without brackets."""
    port: int
    tls: Tls | None = None
    pooling: Pooling = Pooling()


class Hops(Protocol):
    """Sends requests to nodes whose addresses are allowed."""

    async def send_to(
        self,
        hop: Hop,
        host: bytes,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Sent:
        """As `core.ports.Outbound.send`; `host` is the Host header, `target` the path and query. Raises UpstreamError."""
        ...

    async def connect_to(
        self,
        hop: Hop,
        host: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        subprotocols: Sequence[str],
        seconds: float,
    ) -> Duplex:
        """Opens a WebSocket. Raises UpstreamError."""
        ...

    async def probe(self, hop: Hop, seconds: float) -> None:
        """Opens a connection and closes it. Raises UpstreamError."""
        ...
