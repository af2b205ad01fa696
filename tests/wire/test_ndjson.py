"""Lines are found however their bytes were cut, and nothing of them is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.wire.ndjson import LineScanner


@examples(200)
@given(chunks=st.lists(st.text("a{é\u2028\r\n", max_size=6).map(str.encode)))
def test_lines_joined_are_what_came(chunks: list[bytes]) -> None:
    scanner = LineScanner()
    lines = [line for chunk in chunks for line in scanner.feed(chunk)]
    whole = b"".join(chunks)

    assert scanner.pending == len(whole) - whole.rfind(b"\n") - 1
    assert scanner.unfinished(0) == whole[whole.rfind(b"\n") + 1 :]
    assert b"".join(lines) + scanner.take() == whole
    assert all(line.find(b"\n") == len(line) - 1 for line in lines)
    assert (scanner.pending, scanner.take()) == (0, b"")


@pytest.mark.parametrize("chunk", [b"{}\n", b"{}\n{}\n", b"{}\n{}", b"\n\n"])
def test_a_chunk_s_whole_lines_come_at_once(chunk: bytes) -> None:
    assert len(LineScanner().feed(chunk)) == chunk.count(b"\n")
