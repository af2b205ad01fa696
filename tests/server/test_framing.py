"""Headers that two parsers could read differently are refused; what is for this connection alone goes no further."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.server import framing

HOST = (b"host", b"gate")
LENGTH = (b"content-length", b"5")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.1", [HOST, LENGTH], None),
        ("1.1", [HOST, (b"transfer-encoding", b"Chunked")], None),
        ("1.1", [HOST, (b"accept", b"a"), (b"accept", b"b")], None),
        ("1.0", [LENGTH], None),
        ("1.1", [], 400),
        ("1.1", [HOST, HOST], 400),
        ("1.0", [HOST, HOST], 400),
        ("1.1", [HOST, LENGTH, LENGTH], 400),
        ("1.1", [HOST, (b"content-length", b"+5")], 400),
        ("1.1", [HOST, (b"content-length", b"5, 5")], 400),
        ("1.1", [HOST, CHUNKED, CHUNKED], 501),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], 501),
        ("1.1", [HOST, CHUNKED, LENGTH], 400),
        ("1.1", [HOST, LENGTH, CHUNKED], 400),
        ("1.0", [CHUNKED], 400),
    ],
)
def test_only_what_can_be_framed_in_one_way_passes(
    version: str, headers: list[tuple[bytes, bytes]], status: int | None
) -> None:
    if status is None:
        framing.check(version, headers, dict(headers))
        return
    with pytest.raises(CallerError) as refused:
        framing.check(version, headers, dict(headers))
    assert (refused.value.status, refused.value.code) == (status, "invalid_http")


@pytest.mark.parametrize(
    ("connections", "left"),
    [
        ([b"keep-alive"], [b"x-a", b"x-b"]),
        ([b"x-a"], [b"x-b"]),
        ([b"Keep-Alive, X-A ,x-B"], []),
        ([b"x-a", b"keep-alive"], [b"x-b"]),
        ([b"keep-alive", b"x-b"], [b"x-a"]),
        ([b"host, content-length"], [b"x-a", b"x-b"]),
    ],
)
def test_what_a_connection_header_names_is_dropped_but_for_the_framing(
    connections: list[bytes], left: list[bytes]
) -> None:
    plain = [(b"x-a", b"1"), (b"x-b", b"2")]
    kept = [HOST, LENGTH, *((b"connection", value) for value in connections)]

    headers, named = framing.without_this_hops([*kept, *plain], dict([*kept, *plain]))

    assert headers == [*kept, *(header for header in plain if header[0] in left)]
    assert named == dict(headers)


@pytest.mark.parametrize(
    ("upgrades", "connection", "kept"),
    [
        ([b"h2c"], b"Upgrade, HTTP2-Settings", b""),
        ([b" H2C "], b"close, upgrade", b"connection: close\r\n"),
        ([b"h2c"], b"Upgrade, X-A", b"connection: X-A\r\n"),
        ([b"h2c", b"h2c"], b"upgrade", None),
        ([b"h2c, websocket"], b"upgrade", None),
        ([b"tls/1.2"], b"upgrade", None),
        ([], b"upgrade", None),
    ],
)
def test_an_offer_of_http_2_is_taken_out_of_a_head_and_nothing_else_is(
    upgrades: list[bytes], connection: bytes, kept: bytes | None
) -> None:
    headers = [HOST, (b"connection", connection), *((b"upgrade", value) for value in upgrades), LENGTH]

    head = framing.without_offer(b"POST /v1/x?a=b HTTP/1.1", [*headers, (b"http2-settings", b"AAM")])

    if kept is None:
        assert head is None
    else:
        plain = b"".join(b"%b: %b\r\n" % header for header in (HOST, LENGTH))
        before, after = plain.split(b"\r\n", 1)
        assert head == b"POST /v1/x?a=b HTTP/1.1\r\n" + before + b"\r\n" + kept + after + b"\r\n"
