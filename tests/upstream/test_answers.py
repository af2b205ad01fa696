"""What counts as an answer, where it ends, and what is no part of it."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from kit.outbound import answered, body, fetch, get, raw, run
from kit.scripted import Connection, Request, ScriptedUpstream
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.upstream.client import HttpClient

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(raw(answered(b"hello"))) as scripted:
        yield scripted


def test_bytes_that_came_before_a_cut_are_still_there(upstream: ScriptedUpstream) -> None:
    upstream.script = raw(HEAD + b"content-length: 9\r\n\r\nhello", "close")

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url)
        await asyncio.sleep(0.1)
        assert await answer.next_chunk() == b"hello"
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await answer.next_chunk()

    run(test)


def test_silence_can_be_asked_about_without_an_end(upstream: ScriptedUpstream) -> None:
    go_on = threading.Event()

    def pause(request: Request, connection: Connection) -> bool:
        connection.send(HEAD + b"content-length: 5\r\n\r\nhel")
        go_on.wait(30)
        return connection.send(b"lo")

    upstream.script = pause

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url, Patience())
        assert await answer.next_chunk(20) == b"hel"
        with pytest.raises(TimeoutError):
            await answer.next_chunk(0.1)
        go_on.set()
        assert await answer.next_chunk(20) == b"lo"
        assert await answer.next_chunk(20) is None

    run(test)


@pytest.mark.parametrize(
    ("sent", "status", "content"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answered(b"hello"), 200, b"hello"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + answered(b"hello"), 200, b"hello"),
        (
            HEAD + b"transfer-encoding: chunked\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\ntrailer: x\r\n\r\n",
            200,
            b"hello",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (answered(b"", "location: /elsewhere", status="302 Found"), 302, b""),
        (answered(b"", "location: http://127.0.0.1:1/", status="307 Temporary Redirect"), 307, b""),
        (b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
    ],
    ids=["100", "103", "chunks", "204", "302", "307", "no reason"],
)
def test_what_is_an_answer_is_taken_as_it_is(
    upstream: ScriptedUpstream, sent: bytes, status: int, content: bytes
) -> None:
    upstream.script = raw(sent)

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            answer = await get(client, upstream.url)
            assert (answer.status, await body(answer)) == (status, content)
            assert b"link" not in dict(answer.headers)  # a hint's header is not the answer's

    run(test)
    assert upstream.connections == 1
    assert len(upstream.requests) == 2  # a redirection is not followed


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_answer_without_a_length_ends_with_its_connection(upstream: ScriptedUpstream, version: bytes) -> None:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/%b 200 OK\r\n\r\nhel" % version)
        time.sleep(0.05)
        connection.send(b"lo")
        return False

    upstream.script = script

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            assert await fetch(client, upstream.url) == (200, b"hello")

    run(test)
    assert upstream.connections == 2


def test_hints_before_the_answer_are_not_the_answers_headers_nor_its_first_byte(upstream: ScriptedUpstream) -> None:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        time.sleep(0.5)
        return connection.send(answered(b"hello", "mine: y"))

    upstream.script = script

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url, Patience(connect=20, first_byte=20, idle=0.2, total=30))
        assert answer.headers == [(b"content-length", b"5"), (b"mine", b"y")]
        assert answer.first_byte_at - answer.sent_at > 0.4
        assert await body(answer) == b"hello"

    run(test)


def test_bytes_after_an_answers_end_are_not_part_of_it_nor_of_the_next(upstream: ScriptedUpstream) -> None:
    upstream.script = raw(answered(b"hello") + answered(b"smuggled", "evil: yes"))

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            answer = await get(client, upstream.url)
            assert answer.headers == [(b"content-length", b"5")]
            assert await body(answer) == b"hello"

    run(test)
    assert upstream.connections == 2


def test_bytes_that_nobody_asked_for_end_an_idle_connection(upstream: ScriptedUpstream) -> None:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(answered(b"hello"))
        time.sleep(0.1)
        return connection.send(answered(b"smuggled"))

    upstream.script = script

    async def test(client: HttpClient) -> None:
        for _ in range(2):
            assert await fetch(client, upstream.url) == (200, b"hello")
            await asyncio.sleep(0.2)

    run(test)
    assert upstream.connections == 2
