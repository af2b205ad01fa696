"""An issuer's document and keys: how often they are fetched, what is used while it is away, which documents are taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kit.issuer import DISCOVERY, KEYS, TokenIssuer
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.signed_tokens import ASYMMETRIC, BadToken
from tollkeeper.routes.issuer import Issuer
from tollkeeper.upstream.client import HttpClient


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _with(run: Callable[[TokenIssuer, Issuer, Clock], Awaitable[None]], **options: Any) -> None:
    """Runs with an issuer that answers, its keys kept for an hour, and a clock in hand."""

    async def whole() -> None:
        clock = Clock()
        with TokenIssuer() as server:
            client = HttpClient(asyncio.get_running_loop().time)
            made = {"keep": 3600.0, "seconds": 20.0, "issuer": server.url, **options}
            places = [server.url + "/elsewhere", server.url + DISCOVERY]
            try:
                await run(server, Issuer(client, places, clock, **made), clock)
            finally:
                await client.close()

    asyncio.run(whole())


def test_keys_are_fetched_once_however_many_tokens_come_at_once() -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        await asyncio.gather(*(issuer.verified(server.token(), ASYMMETRIC) for _ in range(20)))
        assert (server.asked(KEYS), server.asked(DISCOVERY)) == (1, 1)

    _with(run)


def test_an_unknown_key_is_looked_for_again_but_not_at_every_token() -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        await issuer.verified(server.token(), ASYMMETRIC)
        server.rotate("two")
        for _ in range(5):
            with pytest.raises(BadToken, match="unknown key"):
                await issuer.verified(server.token(), ASYMMETRIC)
        assert server.asked(KEYS) == 1
        clock.now += 10
        await issuer.verified(server.token(), ASYMMETRIC)
        assert server.asked(KEYS) == 2

    _with(run)


def test_keys_are_fetched_anew_when_they_are_old_and_used_on_for_a_while_when_the_issuer_is_away() -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        token = server.token()
        await issuer.verified(token, ASYMMETRIC)
        clock.now += 3601
        await issuer.verified(token, ASYMMETRIC)
        assert server.asked(KEYS) == 2
        server.away = True
        clock.now += 3601
        await issuer.verified(token, ASYMMETRIC)
        clock.now += 3600
        with pytest.raises(TollkeeperError) as raised:
            await issuer.verified(token, ASYMMETRIC)
        assert (raised.value.status, raised.value.code) == (503, "issuer_unavailable")
        server.away = False
        clock.now += 1
        await issuer.verified(token, ASYMMETRIC)

    _with(run)


def test_an_issuer_that_is_away_is_not_asked_at_every_token() -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        server.away = True
        for _ in range(5):
            with pytest.raises(TollkeeperError, match="answered 500"):
                await issuer.verified(server.token(), ASYMMETRIC)
        assert server.asked(DISCOVERY) == 1

    _with(run)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"issuer": "https://evil.example"}, "of another issuer"),
        ({"jwks_uri": None}, "publishes no keys"),
        ({"jwks_uri": "file:///etc/passwd"}, "publishes no keys"),
    ],
)
def test_a_document_that_cannot_be_the_issuers_is_not_taken(document: dict[str, Any], words: str) -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        server.document = document
        with pytest.raises(TollkeeperError, match=words):
            await issuer.verified(server.token(), ASYMMETRIC)

    _with(run)


def test_where_the_keys_are_known_no_document_is_needed() -> None:
    async def run(server: TokenIssuer, issuer: Issuer, clock: Clock) -> None:
        client = HttpClient(asyncio.get_running_loop().time)
        known = Issuer(client, [], clock, keep=60.0, seconds=20.0, jwks_uri=server.url + KEYS)
        assert (await known.verified(server.token(sub="ada"), ["RS256"]))["sub"] == "ada"
        assert server.asked(DISCOVERY) == 0
        with pytest.raises(BadToken, match="algorithm"):
            await known.verified(server.token(), ["ES256"])
        await client.close()

    _with(run)
