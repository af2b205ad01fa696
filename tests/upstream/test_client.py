"""The outbound client over real sockets: connections are reused when that is safe, shared fairly and never flooded."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from kit.outbound import answered, fetch, get, raw, run
from kit.scripted import Connection, Request, ScriptedUpstream
from kit.vitals import becomes
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import GateError, UpstreamError
from tollkeeper.upstream.client import HttpClient


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(raw(answered(b"hello"))) as scripted:
        yield scripted


def test_a_connection_carries_one_request_after_the_other(upstream: ScriptedUpstream) -> None:
    async def test(client: HttpClient) -> None:
        for _ in range(5):
            assert await fetch(client, upstream.url + "/a?b=c") == (200, b"hello")

    run(test)
    assert upstream.connections == 1
    assert [request.path for request in upstream.requests] == ["/v1/a?b=c"] * 5
    assert upstream.requests[0].headers == {"host": f"127.0.0.1:{upstream.port}", "accept": "*/*"}


def test_requests_at_once_have_connections_of_their_own_which_stay_for_the_next(upstream: ScriptedUpstream) -> None:
    def slowly(request: Request, connection: Connection) -> bool:
        time.sleep(0.1)
        return connection.send(answered(request.path.encode()))

    upstream.script = slowly

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            paths = [f"/{number}" for number in range(8)]
            found = await asyncio.gather(*(fetch(client, upstream.url + path) for path in paths))
            assert found == [(200, b"/v1" + path.encode()) for path in paths]

    run(test)
    assert upstream.connections == 8


@pytest.mark.row(41)
@pytest.mark.parametrize("told", [True, False], ids=["told by the loop", "asked"])
def test_a_connection_that_its_peer_closed_while_idle_is_not_used(upstream: ScriptedUpstream, told: bool) -> None:
    def answer_and_close_soon(request: Request, connection: Connection) -> bool:
        connection.send(answered(b"hello"))
        time.sleep(0.05)
        return False

    upstream.script = answer_and_close_soon

    async def test(client: HttpClient) -> None:
        assert await fetch(client, upstream.url) == (200, b"hello")
        if told:
            await asyncio.sleep(0.1)
        else:
            time.sleep(0.1)  # the loop cannot tell the client; it has to look for itself
        assert await fetch(client, upstream.url) == (200, b"hello")

    run(test)
    assert upstream.connections == 2


@pytest.mark.row(41)
def test_a_peer_that_closed_one_that_was_kept_is_trusted_with_none_for_a_second(upstream: ScriptedUpstream) -> None:
    def answer_and_close_soon(request: Request, connection: Connection) -> bool:
        connection.send(answered(b"hello"))
        time.sleep(0.05)
        return False

    upstream.script = answer_and_close_soon

    async def test() -> None:
        client = HttpClient(lambda: 5.0)  # none is idle for long
        assert await fetch(client, upstream.url) == (200, b"hello")
        await asyncio.sleep(0.5)  # the loop tells
        assert await fetch(client, upstream.url) == (200, b"hello")
        time.sleep(0.5)  # it cannot
        assert await fetch(client, upstream.url) == (200, b"hello")
        await client.close()

    asyncio.run(test())
    assert upstream.connections == 3


def test_a_connection_that_was_idle_for_too_long_is_closed(upstream: ScriptedUpstream) -> None:
    async def test(client: HttpClient) -> None:
        assert await fetch(client, upstream.url) == (200, b"hello")
        await asyncio.sleep(0.5)
        assert await fetch(client, upstream.url) == (200, b"hello")

    run(test, keep_idle=0.2)
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        answered(b"hello", "connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_that_its_peer_means_to_close_is_not_kept(upstream: ScriptedUpstream, answer: bytes) -> None:
    upstream.script = raw(answer)

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            assert await fetch(client, upstream.url) == (200, b"hello")

    run(test)
    assert upstream.connections == 2


def test_an_answer_that_is_not_wanted_any_more_ends_its_connection(upstream: ScriptedUpstream) -> None:
    closed: list[float | None] = []

    def endless(request: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
        closed.append(connection.wait_for_peer_to_close(30))
        return False

    upstream.script = endless

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url)
        assert await answer.next_chunk() == b"begun"
        answer.close()
        answer.close()
        with pytest.raises(UpstreamError):
            await answer.next_chunk()
        upstream.script = raw(answered(b"hello"))
        assert await fetch(client, upstream.url) == (200, b"hello")

    run(test)
    assert becomes(lambda: bool(closed))
    assert closed[0] is not None
    assert closed[0] < 20
    assert upstream.connections == 2


def test_more_requests_than_connections_wait_their_turn(upstream: ScriptedUpstream) -> None:
    def slowly(request: Request, connection: Connection) -> bool:
        time.sleep(0.05)
        return connection.send(answered(request.path.encode()))

    upstream.script = slowly

    async def test(client: HttpClient) -> None:
        found = await asyncio.gather(*(fetch(client, f"{upstream.url}/{number}") for number in range(9)))
        assert found == [(200, b"/v1/%d" % number) for number in range(9)]

    run(test, most_connections=3)
    assert upstream.connections == 3
    assert [request.path[-1] for request in sorted(upstream.requests, key=lambda one: one.at)][-1] in "678"


def test_a_turn_that_does_not_come_in_time_is_an_error_and_takes_no_other_turn(upstream: ScriptedUpstream) -> None:
    async def test(client: HttpClient) -> None:
        upstream.script = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "silent")
        busy = await get(client, upstream.url, Patience(connect=10, first_byte=30, idle=30, total=60))
        with pytest.raises(UpstreamError) as late:
            await fetch(client, upstream.url, Patience(connect=0.5))
        assert (late.value.status, late.value.code) == (504, "upstream_connect_timeout")
        waiting = asyncio.ensure_future(fetch(client, upstream.url))
        given_up = asyncio.ensure_future(fetch(client, upstream.url))
        await asyncio.sleep(0.05)
        given_up.cancel()
        upstream.script = raw(answered(b"hello"))
        busy.close()
        assert await waiting == (200, b"hello")

    run(test, most_connections=1)


def test_a_client_that_is_closed_ends_what_is_under_way_and_opens_nothing_more(upstream: ScriptedUpstream) -> None:
    async def test(client: HttpClient) -> None:
        assert await fetch(client, upstream.url) == (200, b"hello")
        upstream.script = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "silent")
        answer = await get(client, upstream.url)
        assert await answer.next_chunk() == b"hel"
        await client.close()
        with pytest.raises(UpstreamError):
            await answer.next_chunk()
        with pytest.raises(GateError) as refused:
            await fetch(client, upstream.url)
        assert refused.value.code == "shutting_down"

    run(test)
