"""Frames: joined, checked and bounded, however they are cut."""

from base64 import b64encode

import pytest

from kit.sockets import framed
from tollkeeper.wire.websocket import BadHandshake, Channel, accepted

TEXT, BINARY, CONT, CLOSE, PING = 1, 2, 0, 8, 9
OPENING = {
    b"connection": b"keep-alive, Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


def server(largest: int = 1000) -> Channel:
    return Channel(largest=largest)


def test_the_accept_header_is_the_one_of_rfc_6455() -> None:
    assert accepted(OPENING) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"connection", b"keep-alive"),
        (b"sec-websocket-version", b"8"),
        (b"sec-websocket-key", b""),
        (b"sec-websocket-key", b"not base 64!"),
        (b"sec-websocket-key", b64encode(b"fifteen bytes..")),
    ],
)
def test_what_opens_no_websocket_is_told_why(name: bytes, value: bytes) -> None:
    with pytest.raises(BadHandshake):
        accepted({**OPENING, name: value})


def test_messages_are_whole_however_their_bytes_are_cut() -> None:
    sent = (
        framed(TEXT, "日本".encode()[:4], fin=False)
        + framed(PING, b"?")
        + framed(CONT, "日本".encode()[4:])
        + framed(BINARY, b"\x00\xff")
        + framed(TEXT, b"x" * 300)
    )
    for size in (1, 2, 3, 7, len(sent)):
        channel = server()
        found = [message for at in range(0, len(sent), size) for message in channel.feed(sent[at : at + size])]

        assert found == ["日本", b"\x00\xff", "x" * 300]
        assert channel.take() == bytes([128 | 10, 1]) + b"?"
        assert channel.open


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (framed(TEXT, b"\xff"), 1007),
        (framed(TEXT, b"\xe6\x97", fin=False) + framed(CONT, b"x"), 1007),
        (framed(TEXT, b"\xe6\x97", fin=False) + framed(CONT, b""), 1007),
        (framed(TEXT, b"x", masked=False), 1002),
        (framed(TEXT, b"x", reserved=4), 1002),
        (framed(3, b"x"), 1002),
        (framed(CONT, b"x"), 1002),
        (framed(TEXT, b"x", fin=False) + framed(TEXT, b"y"), 1002),
        (framed(PING, b"x" * 126), 1002),
        (framed(PING, b"x", fin=False), 1002),
        (framed(CLOSE, b"\x03"), 1002),
        (framed(CLOSE, b"\x03\xec"), 1002),
        (framed(TEXT, b"x" * 1001), 1009),
        (framed(TEXT, b"x" * 600, fin=False) + framed(CONT, b"x" * 600), 1009),
    ],
    ids=range(14),
)
def test_a_breach_closes_with_its_code_and_is_no_message(sent: bytes, code: int) -> None:
    channel = server()

    assert channel.feed(sent) == []
    closing = channel.take()
    assert closing[0] == 128 | CLOSE
    assert int.from_bytes(closing[2:4], "big") == code
    assert channel.over
    assert not channel.open
    assert channel.feed(framed(TEXT, b"more")) == []


def test_an_oversized_message_is_refused_by_its_head() -> None:
    channel = server()

    assert channel.feed(framed(TEXT, b"x" * 100_000)[:14]) == []
    assert channel.closed is not None
    assert channel.closed[0] == 1009


def test_the_peers_close_is_answered_and_is_the_end() -> None:
    channel = server()
    channel.feed(framed(CLOSE, b"\x03\xe8bye"))

    assert channel.take() == bytes([128 | CLOSE, 5]) + b"\x03\xe8bye"
    assert channel.over
    assert channel.closed == (1000, "bye")
    channel.text(b"too late")
    assert channel.take() == b""


def test_our_close_waits_for_the_peers() -> None:
    channel = server()
    channel.close(1001, "é" * 100)

    assert channel.take()[:4] == bytes([128 | CLOSE, 2 + 122]) + b"\x03\xe9"
    assert not channel.over
    channel.feed(framed(CLOSE, b"\x03\xe9"))
    channel.take()
    assert channel.over


def test_bytes_that_end_without_a_close_are_an_abnormal_end() -> None:
    channel = server()
    channel.end()

    assert channel.closed == (1006, "")


def test_a_client_masks_what_it_sends_and_the_server_reads_it() -> None:
    client, gate = Channel(largest=1000, client=True), server()
    client.text(b"hello")
    client.binary(b"\x01")
    sent = client.take()

    assert sent[1] & 128
    assert gate.feed(sent) == ["hello", b"\x01"]
    gate.ping()
    client.feed(gate.take())
    assert client.take()[0] == 128 | 10


def test_a_message_of_many_fragments_takes_no_more_memory_than_its_bytes() -> None:
    import tracemalloc

    channel = server(200_000)
    sent = framed(TEXT, b"", fin=False) + framed(CONT, b"x", fin=False) * 20_000
    tracemalloc.start()
    for at in range(0, len(sent), 65536):
        assert channel.feed(sent[at : at + 65536]) == []
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 250_000  # 20,000 pieces kept one by one are more
    assert channel.feed(framed(CONT, b"!")) == ["x" * 20_000 + "!"]
    assert channel.frames == 20_002
