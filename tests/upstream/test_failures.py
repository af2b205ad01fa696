"""What goes wrong on the way to a provider: each kind has its code and status, and is never taken for an answer."""

import socket
import time
from collections.abc import Iterator

import pytest

from kit.outbound import BRIEF, answered, fetch, get, raw, run
from kit.scripted import Connection, Request, ScriptedUpstream
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.upstream.client import HttpClient

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(raw(answered(b"hello"))) as scripted:
        yield scripted


def _failure(url: str, timeouts: Patience = BRIEF) -> tuple[int, str | None, str]:
    """Status, code and words of the error that a GET ends with."""
    found: list[UpstreamError] = []

    async def test(client: HttpClient) -> None:
        with pytest.raises(UpstreamError) as raised:
            await fetch(client, url, timeouts)
        found.append(raised.value)

    run(test)
    assert found[0].retryable
    assert found[0].fault == "upstream"
    return found[0].status, found[0].code, found[0].message


@pytest.mark.parametrize(
    ("sent", "then", "status", "code"),
    [
        (b"", "close", 502, "upstream_closed"),
        (b"", "reset", 502, "upstream_reset"),
        (b"HTTP/1.1 20", "close", 502, "upstream_closed"),
        (HEAD + b"content-length: 5\r\n\r\nhel", "close", 502, "upstream_cut"),
        (HEAD + b"content-length: 5\r\n\r\nhel", "reset", 502, "upstream_cut"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhel", "close", 502, "upstream_cut"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n", "close", 502, "upstream_cut"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", "close", 502, "upstream_cut"),
        (HEAD + b"\r\nhel", "reset", 502, "upstream_cut"),
        (b"", "silent", 504, "upstream_timeout"),
        (HEAD + b"content-length: 5\r\n\r\nhel", "silent", 504, "upstream_stalled"),
        (HEAD + b"\r\nhel", "silent", 504, "upstream_stalled"),
        (b"nonsense\r\n\r\n", "keep", 502, "upstream_invalid_http"),
        (b"\x00" * 100, "keep", 502, "upstream_invalid_http"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "keep", 502, "upstream_invalid_http"),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", "keep", 502, "upstream_invalid_http"),
        (HEAD + b"content-length: -5\r\n\r\nhello", "keep", 502, "upstream_invalid_http"),
        (
            HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "keep",
            502,
            "upstream_invalid_http",
        ),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n", "keep", 502, "upstream_invalid_http"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhelloo\r\n", "keep", 502, "upstream_invalid_http"),
        (HEAD + b"bad header\r\n\r\n", "keep", 502, "upstream_invalid_http"),
    ],
)
def test_each_way_to_fail_has_its_code(
    upstream: ScriptedUpstream, sent: bytes, then: str, status: int, code: str
) -> None:
    upstream.script = raw(sent, then)

    assert _failure(upstream.url)[:2] == (status, code)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("sent", [b"a: b\r\n" * 20_000, b"a: " + b"b" * 200_000, b"b" * 200_000])
def test_endless_headers_end_at_a_bound(upstream: ScriptedUpstream, sent: bytes) -> None:
    upstream.script = raw(HEAD + sent, "silent")

    assert _failure(upstream.url)[:2] == (502, "upstream_headers_too_large")


def test_an_upgrade_that_nobody_asked_for_is_no_answer(upstream: ScriptedUpstream) -> None:
    upstream.script = raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")

    async def test(client: HttpClient) -> None:
        with pytest.raises(UpstreamError) as raised:
            await fetch(client, upstream.url)
        assert raised.value.code == "upstream_invalid_http"

    run(test, seconds=15)


def test_half_a_head_is_not_waited_for(upstream: ScriptedUpstream) -> None:
    upstream.script = raw(HEAD + b"content-", "silent")
    began = time.monotonic()

    assert _failure(upstream.url)[0] == 504
    assert time.monotonic() - began < 30


def test_a_port_where_nobody_listens(upstream: ScriptedUpstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    status, code, words = _failure(f"http://127.0.0.1:{port}/v1")

    assert (status, code) == (502, "upstream_refused")
    assert str(port) not in words


def test_a_name_that_is_none() -> None:
    assert _failure("http://no-such-host.invalid/v1", Patience(connect=8))[:2] == (502, "upstream_unknown_host")


def test_a_host_that_does_not_take_connections_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)

        assert _failure(f"http://127.0.0.1:{port}/v1", Patience(connect=0.5))[:2] == (504, "upstream_connect_timeout")
        for one in crowd:
            one.close()


def test_an_answer_that_never_stops_ends_when_its_time_is_up(upstream: ScriptedUpstream) -> None:
    def trickle(request: Request, connection: Connection) -> bool:
        connection.send(HEAD + b"content-length: 1000\r\n\r\n")
        while connection.send(b"."):
            time.sleep(0.05)
        return False

    upstream.script = trickle
    began = time.monotonic()

    status, code, words = _failure(upstream.url, Patience(connect=20, first_byte=20, idle=20, total=0.6))

    assert (status, code) == (504, "upstream_deadline")
    assert "0.6 s" in words
    assert 0.5 < time.monotonic() - began < 20


def test_a_body_can_be_given_less_time_than_it_had(upstream: ScriptedUpstream) -> None:
    upstream.script = raw(HEAD + b"content-length: 5\r\n\r\nhel", "silent")

    async def test(client: HttpClient) -> None:
        answer = await get(client, upstream.url, Patience())
        assert await answer.next_chunk() == b"hel"
        answer.limit_to(0.3)
        began = time.monotonic()
        with pytest.raises(UpstreamError) as raised:
            await answer.next_chunk()
        assert raised.value.code == "upstream_deadline"
        assert time.monotonic() - began < 15

    run(test)
