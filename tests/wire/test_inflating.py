"""Compressed texts are read piece by piece, and never beyond their bound."""

import gzip
import tracemalloc
import zlib

import pytest

from tollkeeper.wire.inflating import Inflating, TooLong

TEXT = b"said again and again, " * 2000


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("coded", "plain"),
    [
        (gzip.compress(TEXT), TEXT),
        (zlib.compress(TEXT), TEXT),
        (gzip.compress(TEXT) + gzip.compress(b"more"), TEXT + b"more"),
        (gzip.compress(TEXT) + b"\0\0\0", TEXT),
        (gzip.compress(b""), b""),
        (b"", b""),
    ],
    ids=["gzip", "zlib", "two members", "something behind it", "of nothing", "nothing"],
)
def test_what_was_compressed_is_read_however_it_is_cut(coded: bytes, plain: bytes, size: int) -> None:
    inflating = Inflating(len(TEXT) + 4)
    for start in range(0, len(coded), size):
        inflating.add(coded[start : start + size])
    assert (bytes(inflating.data), inflating.complete) == (plain, True)


def test_what_is_cut_or_broken_is_told() -> None:
    cut = Inflating(len(TEXT))
    cut.add(gzip.compress(TEXT)[:-9])
    assert not cut.complete
    half = Inflating(len(TEXT))
    half.add(gzip.compress(TEXT) + gzip.compress(b"more")[:5])
    assert not half.complete
    with pytest.raises(ValueError, match="header"):
        Inflating(10).add(b"no gzip")


@pytest.mark.parametrize(("what", "times"), [(bytes(64_000_000), 1), (b"", 200_000)], ids=["long", "many"])
def test_a_bomb_is_put_down_before_it_goes_off(what: bytes, times: int) -> None:
    bomb = gzip.compress(what) * times
    tracemalloc.start()
    try:
        with pytest.raises(TooLong):
            Inflating(100_000).add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_follows_the_end_is_not_kept() -> None:
    inflating = Inflating(100)
    inflating.add(gzip.compress(b"short"))
    tracemalloc.start()
    try:
        for _ in range(100):
            inflating.add(bytes(100_000))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert (bytes(inflating.data), inflating.complete) == (b"short", True)
