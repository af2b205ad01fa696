"""Bodies both ways: sent as they come, stopped when nobody wants them, and never faster than they are read."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from kit.outbound import BRIEF, answered, body, get, raw, run
from kit.scripted import Connection, Request, ScriptedUpstream
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import GateError
from tollkeeper.upstream.client import HttpClient


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(raw(answered(b"hello"))) as scripted:
        yield scripted


def test_a_slow_reader_stops_the_socket(upstream: ScriptedUpstream) -> None:
    piece, most = bytes(65536), 64 * 1024 * 1024
    sent = [0]

    def pour(request: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % most)
        while sent[0] < most and connection.send(piece):
            sent[0] += len(piece)
        return True

    upstream.script = pour

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url, Patience(idle=0.3, total=60))
        seen = [sent[0]]
        while len(seen) < 4 or seen[-4:] != [seen[-1]] * 4:  # three times 0.2 s without a byte
            await asyncio.sleep(0.2)
            seen.append(sent[0])
        assert seen[-1] < 16 * 1024 * 1024  # and the provider's waiting is not taken for a stall
        assert len(await body(answer)) == most

    run(test)
    assert sent[0] == most


def test_a_body_of_unknown_length_is_sent_in_chunks_and_one_of_known_length_is_not(upstream: ScriptedUpstream) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"", b"two"):
            yield piece
            await asyncio.sleep(0.01)

    async def test(client: HttpClient) -> None:
        for headers in ([], [(b"content-length", b"7")]):
            answer = await client.send(b"POST", upstream.url, headers, pieces(), BRIEF)
            await answer.head()
            assert await body(answer) == b"hello"
        answer = await client.send(b"POST", upstream.url, [], b"", BRIEF)
        await answer.head()

    run(test)
    assert [request.body for request in upstream.requests] == [b"one two", b"one two", b""]
    framing = [{name for name in request.headers if name not in ("host",)} for request in upstream.requests]
    assert framing == [{"transfer-encoding"}, {"content-length"}, {"content-length"}]


def test_an_answer_that_comes_before_the_body_is_sent_ends_the_sending(upstream: ScriptedUpstream) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield bytes(1000)
            sent += 1
            await asyncio.sleep(0.01)

    def refuse_at_once(request: Request, connection: Connection) -> bool:
        raise AssertionError("the request never ends")

    upstream.script = refuse_at_once
    early = answered(b"too large", status="413 Content Too Large")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        await reader.read()
        writer.close()

    async def test(client: HttpClient) -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            answer = await client.send(b"POST", f"http://127.0.0.1:{port}/", [], endless(), BRIEF)
            await answer.head()
            assert (answer.status, await body(answer)) == (413, b"too large")
            before = sent
            await asyncio.sleep(0.1)
            assert sent <= before + 1

    run(test)


def test_what_a_body_raises_is_what_the_caller_gets(upstream: ScriptedUpstream) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise GateError("the client left inside its body", code="left")

    async def test(client: HttpClient) -> None:
        answer = await client.send(b"POST", upstream.url, [], broken(), BRIEF)
        with pytest.raises(GateError) as raised:
            await answer.head()
        assert raised.value.code == "left"

    run(test)
