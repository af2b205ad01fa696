"""What a kept answer is said to take in memory."""

import sys

import msgspec

from tollkeeper.core.kept import Kept

ANSWER = Kept(
    status=200,
    headers=((b"content-type", b"application/json"),),
    pieces=(b"x",),
    streamed=False,
    provider="up",
    model="m",
    model_used="m-1",
    cost_nano=1,
    at=0.0,
)


def test_the_size_is_near_what_python_takes_whatever_the_pieces() -> None:
    for pieces in ((b"x" * 10_000,), (b"word",) * 3000, tuple(b"%d" % number for number in range(3000))):
        answer = msgspec.structs.replace(ANSWER, pieces=pieces)
        taken = sum({id(piece): sys.getsizeof(piece) + 8 for piece in pieces}.values())
        taken = max(taken, sum(map(len, pieces)))

        assert answer.size >= taken
        assert answer.size <= 2 * max(taken, 41 * len(pieces)) + 1000


def test_one_that_was_too_large_to_keep_takes_little() -> None:
    assert msgspec.structs.replace(ANSWER, pieces=None).size < 1000
