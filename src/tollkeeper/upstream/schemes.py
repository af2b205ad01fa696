"""One outbound port for every kind of URL: the scheme says who carries the request."""

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

from tollkeeper.core.account import Patience
from tollkeeper.core.ports import Outbound, Sent


class Schemes:
    """Implements `core.ports.Outbound`."""

    def __init__(self, carriers: Mapping[str, Outbound]) -> None:
        self._carriers = carriers

    def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Coroutine[Any, Any, Sent]:
        return self._carriers[url.partition(":")[0]].send(method, url, headers, body, timeouts)


class Guarded:
    """Carries node+http:// and node+https:// URLs: by a client that reaches only what nodes may have."""

    def __init__(self, nodes: Outbound) -> None:
        self._nodes = nodes

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Sent:
        return await self._nodes.send(method, url.removeprefix("node+"), headers, body, timeouts)
