"""Lines come out whole however they were cut, and only at line feeds."""

import pytest

from tollkeeper.wire.ndjson import LineScanner

RAW = '{"a":"\u2028\u0085 \\n"}\n\n{"b":1}\r\n{"c"'.encode()
LINES = ['{"a":"\u2028\u0085 \\n"}\n'.encode(), b'{"b":1}\r\n']


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_whole_however_they_were_cut(size: int) -> None:
    scanner = LineScanner()
    found = [line for at in range(0, len(RAW), size) for line in scanner.feed(RAW[at : at + size])]

    assert found == LINES
    assert (scanner.pending, scanner.unfinished(2)) == (4, b'c"')
    assert scanner.take() == b'{"c"'
    assert scanner.take() == b""


def test_a_line_that_comes_alone_passes_as_it_is() -> None:
    scanner = LineScanner()

    assert scanner.feed(b"{}\n") == [b"{}\n"]
    assert scanner.feed(b"\n") == []
    assert scanner.feed(b"") == []
