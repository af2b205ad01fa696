"""HTTP to a provider's batch API: what may be asked again is, what may not is told apart from what never arrived."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from tollkeeper.bulk.batches.service import Unclear
from tollkeeper.bulk.failures import failure
from tollkeeper.core.account import Account, Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.ports import Outbound, Sent

_LONGEST = 16 * 1024 * 1024
_PIECE = 256 * 1024
_TRIES = 12
_CAP = 60.0
_AGAIN = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_NEVER_BEGUN = frozenset((400, 401, 402, 403, 404, 405, 413, 415, 422, 429))
"""Answers to a request to begin something after which it has surely not begun."""
_UNREACHABLE = "batch_api_unreachable"
_PATIENCE = Patience()


class HttpCalls:
    """Implements `service.Calls` for one account."""

    def __init__(
        self,
        outbound: Outbound,
        account: Account,
        headers: list[tuple[bytes, bytes]],
        *,
        every: float,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._outbound = outbound
        self._root = account.provider.base_url
        self._version = account.provider.api_version
        self._headers = [*headers, (b"accept-encoding", b"identity")]
        self._every = every
        self._uniform = uniform

    async def wait(self) -> None:
        await asyncio.sleep(self._every * self._uniform(0.9, 1.1))

    async def ask(self, path: str) -> bytes:
        return await self._again(lambda: self._whole("GET", path, [], b""))

    async def upload(self, path: str, file: Path, kind: str) -> bytes:
        return await self._again(lambda: self._whole("POST", path, _sized(file, kind), _pieces(file)))

    async def begin(self, path: str, body: bytes | Path) -> bytes:
        kind = "application/json"
        try:
            if isinstance(body, bytes):
                return await self._whole("POST", path, [(b"content-type", kind.encode())], body)
            return await self._whole("POST", path, _sized(body, kind), _pieces(body))
        except UpstreamError as error:
            if error.status in _NEVER_BEGUN and error.code != _UNREACHABLE:
                raise
            raise Unclear(error.message, status=error.status, code=error.code) from None

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        sent = await self._outbound.send(b"GET", self._url(path), self._headers, b"", _PATIENCE)
        try:
            await sent.head()
            if sent.status != 200:
                raise _refused(sent.status, (await sent.read(_LONGEST))[0])
            kept = b""
            while (chunk := await sent.next_chunk()) is not None:
                *whole, kept = (kept + chunk).split(b"\n")
                for line in whole:
                    yield line
            if kept:
                yield kept
        finally:
            sent.close()

    async def _again(self, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        number = 0
        while True:
            number += 1
            try:
                return await ask()
            except UpstreamError as error:
                if number == _TRIES or not (error.status in _AGAIN or error.code == _UNREACHABLE):
                    raise
            await asyncio.sleep(self._uniform(0.0, min(_CAP, 0.5 * 2.0**number)))

    async def _whole(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes | AsyncIterator[bytes]
    ) -> bytes:
        sent: Sent | None = None
        try:
            sent = await self._outbound.send(
                method.encode(), self._url(path), [*self._headers, *headers], body, _PATIENCE
            )
            await sent.head()
            answer, whole = await sent.read(_LONGEST)
        except UpstreamError as error:
            raise UpstreamError(error.message, status=error.status, code=_UNREACHABLE) from None
        finally:
            if sent is not None:
                sent.close()
        if not 200 <= sent.status < 300:
            raise _refused(sent.status, answer)
        if not whole:
            raise UpstreamError(f"The answer to {path} is too long.", code="batch_api_invalid")
        return answer

    def _url(self, path: str) -> str:
        """`path` is below the provider's base URL, or a whole URL of the same host: keys go nowhere else."""
        if not path.startswith(("http://", "https://")):
            if self._version is not None:
                path += f"{'&' if '?' in path else '?'}api-version={self._version}"
            return f"{self._root}/{path}"
        found, own = urlsplit(path), urlsplit(self._root)
        if (found.scheme, found.netloc) != (own.scheme, own.netloc):
            raise UpstreamError(f"The provider names a place that is not its own: {found.netloc}.")
        return path


def _refused(status: int, body: bytes) -> UpstreamError:
    said = failure(status, body)
    return UpstreamError(said.message, status=status, code=said.code or said.type)


def _sized(file: Path, kind: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind.encode()), (b"content-length", b"%d" % file.stat().st_size)]


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
