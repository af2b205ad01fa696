"""Who issues tokens: its discovery document (RFC 8414, OpenID Connect) and published keys (RFC 7517), fetched and kept."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from jwt.api_jwk import PyJWK

from tollkeeper.core import signed_tokens
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.core.signed_tokens import BadToken, KeySet
from tollkeeper.routes.asking import ask
from tollkeeper.wire import json_text
from tollkeeper.wire.json_text import BadJson

_AFTER_FAILURE = 1.0
"""Seconds for which what could not be fetched is not asked for again: a flood of tokens must not become one of requests."""
Got = TypeVar("Got")


class Issuer:
    """One issuer of signed tokens.

    `places` are where its document may be, the likeliest first. With `issuer` the document must be of that issuer and
    with `jwks_uri` none is needed for the keys. Both are fetched again after `keep` seconds, and the keys when a token
    names one that is not among them, `look_again` seconds after the last look at the earliest. What was fetched is used
    for as long once more where the issuer does not answer.
    """

    def __init__(
        self,
        outbound: Outbound,
        places: Sequence[str],
        monotonic: Clock,
        *,
        keep: float,
        seconds: float,
        look_again: float = 10.0,
        issuer: str | None = None,
        jwks_uri: str | None = None,
    ) -> None:
        self._outbound = outbound
        self._places = places
        self._seconds = seconds
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self._document = _Kept(self._discover, monotonic, keep, look_again)
        self._keys = _Kept(self._key_set, monotonic, keep, look_again)

    async def document(self) -> Mapping[str, Any]:
        """What the issuer says of itself. Raises TollkeeperError (503)."""
        return await self._document.get()

    async def verified(self, token: str, algorithms: Collection[str]) -> dict[str, Any]:
        """The claims of a token that the issuer signed by one of `algorithms`, whatever its times are.

        Raises BadToken, and TollkeeperError (503) where the issuer does not answer.
        """
        header, _ = signed_tokens.unverified(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in algorithms:
            raise BadToken("token is signed by an algorithm that is not expected")
        return signed_tokens.verified(token, await self._key(header.get("kid"), algorithm), [algorithm])

    async def fetch(
        self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Mapping[str, Any]:
        """The JSON object that the issuer answers with. Raises TollkeeperError (503)."""
        status, value = await self.answer(method, url, headers, body)
        if status != 200 or value is None:
            raise _unavailable(f"{urlsplit(url).hostname} answered {status}.")
        return value

    async def answer(
        self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> tuple[int, dict[str, Any] | None]:
        """Its status and JSON object, None where it is none. Raises TollkeeperError (503) where there is no answer."""
        try:
            status, _, found = await ask(self._outbound, method, url, list(headers), body, seconds=self._seconds)
        except TollkeeperError as error:
            raise _unavailable(f"{urlsplit(url).hostname}: {error.message}") from None
        try:
            value = json_text.value(found)
        except BadJson:
            value = None
        return status, value if isinstance(value, dict) else None

    async def _key(self, key_id: object, algorithm: str) -> PyJWK:
        key = (await self._keys.get()).find(key_id, algorithm)
        if key is None:
            key = (await self._keys.get(afresh=True)).find(key_id, algorithm)
        if key is None:
            raise BadToken("token is signed by an unknown key")
        return key

    async def _discover(self) -> Mapping[str, Any]:
        problem = _unavailable("The issuer has no discovery document.")
        for place in self._places:
            try:
                document = await self.fetch("GET", place)
            except TollkeeperError as error:
                problem = error
                continue
            if self._issuer is not None and document.get("issuer") != self._issuer:
                problem = _unavailable(f"The document at {place} is of another issuer.")  # RFC 8414, 3.3
                continue
            return document
        raise problem

    async def _key_set(self) -> KeySet:
        uri: Any = self._jwks_uri
        if uri is None:
            uri = (await self._document.get()).get("jwks_uri")
            if not isinstance(uri, str) or urlsplit(uri).scheme not in ("http", "https"):
                raise _unavailable("The issuer publishes no keys.")
            if urlsplit(self._places[0]).scheme == "https" and urlsplit(uri).scheme != "https":
                raise _unavailable("The issuer's keys are not behind TLS.")
        try:
            return KeySet(await self.fetch("GET", uri))
        except BadToken as error:
            raise _unavailable(f"The issuer's keys cannot be read: {error}.") from None


class _Kept(Generic[Got]):
    """Something that is fetched by one at a time and kept."""

    def __init__(self, fetch: Callable[[], Awaitable[Got]], monotonic: Clock, keep: float, look_again: float) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keep = keep
        self._look_again = look_again
        self._lock = asyncio.Lock()
        self._found: tuple[float, Got] | None = None
        """When it was fetched, and what."""
        self._failed: tuple[float, TollkeeperError] | None = None

    async def get(self, *, afresh: bool = False) -> Got:
        """Raises what fetching raises where nothing is kept, or only what is too old."""
        async with self._lock:
            now = self._monotonic()
            at, found = self._found if self._found is not None else (now, None)
            if found is not None and now < at + (self._look_again if afresh else self._keep):
                return found
            failed = self._failed
            if failed is None or now >= failed[0] + _AFTER_FAILURE:
                try:
                    found = await self._fetch()
                    self._found, self._failed = (self._monotonic(), found), None
                    return found
                except TollkeeperError as error:
                    failed = self._failed = (self._monotonic(), error)
            if found is not None and now < at + 2 * self._keep:
                return found
            raise _unavailable(failed[1].message)


def _unavailable(message: str) -> TollkeeperError:
    return TollkeeperError(message, status=503, code="issuer_unavailable", retryable=True)
