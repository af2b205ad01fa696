"""A way out that says whom it leads to where nobody can be reached: for commands, whose user gave the address."""

from collections.abc import AsyncIterator, Sequence

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.ports import Outbound, Sent


class NamedOutbound:
    """Implements `Outbound`. `name` begins a sentence: "The gate at http://…"."""

    def __init__(self, outbound: Outbound, name: str) -> None:
        self._outbound = outbound
        self._name = name

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Sent:
        try:
            return await self._outbound.send(method, url, headers, body, timeouts)
        except UpstreamError as error:
            words = error.message.replace("The provider", self._name, 1)
            raise UpstreamError(words, status=error.status, code=error.code, retryable=error.retryable) from None
