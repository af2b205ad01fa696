"""Requests whose framing two parsers could read differently, by the kind of their oddity."""

POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def _valued(name: bytes, *values: bytes) -> list[bytes]:
    return [POST + name + b": " + value + b"\r\n\r\nhello" for value in values]


MALFORMED: dict[int, list[bytes]] = {
    1: [
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ],
    2: [
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        *_valued(b"content-length", b"+5", b"0x5", b"5_0", b"", b"-5", b"5, 5", b"5,6", b"5 5", b"\xb2", b"9" * 30),
    ],
    3: [
        *(
            CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n"
            for size in (b"0x1", b"+1", b"-1", b"1_0", b"", b"1" * 20, b"5 5", b" 5", b"g")
        ),
    ],
    4: [
        POST + b"a: b\nc: d\r\n\r\n",
        POST + b"a: b\rc: d\r\n\r\n",
        POST + b"a: b\r\n\n",
        POST.replace(b"\r\n", b"\n") + b"\n",
        POST + b"a: \x00\r\n\r\n",
        POST + b"a\x00: b\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\rhello\r\n0\r\n\r\n",
        CHUNKED + b"5;x=\x00\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    ],
    5: [
        *(
            POST + b"transfer-encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
            for coding in (b",chunked", b"chunked,", b"chunked, chunked", b"gzip, chunked", b"gzip", b"xchunked", b"")
        ),
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    6: [
        POST + b"a : b\r\n\r\n",
        POST + b": b\r\n\r\n",
        POST + b"a: b\r\n c\r\n\r\n",
        POST + b"a: b\r\n\tc\r\n\r\n",
        POST + b" a: b\r\n\r\n",
        *(POST + b"a" + byte + b"b: c\r\n\r\n" for byte in (b" ", b"(", b"@", b"\x7f", b"\xff", b'"', b"/")),
        POST + b"no colon\r\n\r\n",
    ],
    7: [
        CHUNKED + b"5\r\nhelloXX0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\r0\r\n\r\n",
        CHUNKED + b"5\r\nhello\n\n0\r\n\r\n",
    ],
}
"""By the number of the fault in docs/reliability.md."""


def with_body(head: bytes, hidden: bytes) -> bytes:
    """A request that ends before `hidden` for whoever goes by chunks, and after it for whoever goes by length."""
    body = b"0\r\n\r\n" + hidden
    return head.replace(b"LENGTH", b"%d" % len(body)) + body


DOUBLE = [
    POST + b"content-length: LENGTH\r\n" + coding + b"\r\n\r\n"
    for coding in (
        b"transfer-encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"transfer-encoding: xchunked",
        b"transfer-encoding:\x0bchunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
        b"x: y\ntransfer-encoding: chunked",
        b"x: y\rtransfer-encoding: chunked",
        b" transfer-encoding: chunked",
        b"transfer-encoding:\r\n chunked",
        b"transfer_encoding: chunked",
        b'transfer-encoding: "chunked"',
        b"connection: transfer-encoding\r\ntransfer-encoding: chunked",
        b"connection: content-length\r\ntransfer-encoding: chunked",
    )
]
"""Heads with two framings; LENGTH is the body's."""
