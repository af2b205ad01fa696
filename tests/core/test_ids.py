"""Request ids are UUIDs of version 7: unique, and in the order of time."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.ids import RequestIds

MILLISECONDS = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=10)


def made(milliseconds: int, ten: bytes) -> str:
    """An id of that time, whose random bits come from these ten bytes."""
    return RequestIds(lambda: milliseconds / 1000, lambda count: (ten * count)[:count])()


@given(MILLISECONDS, RANDOM)
@examples(200)
def test_an_id_is_a_uuid_of_version_7_that_holds_the_time(milliseconds: int, ten: bytes) -> None:
    found = uuid.UUID(made(milliseconds, ten))

    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert abs((found.int >> 80) - milliseconds) <= 1


def test_the_time_stands_where_the_standard_puts_it() -> None:
    # RFC 9562, appendix A.6: 2022-02-22T19:22:22.000Z.
    assert made(1645557742000, b"\0" * 10).startswith("017f22e279b07")


@given(MILLISECONDS, MILLISECONDS, RANDOM, RANDOM)
@examples(100)
def test_later_ids_sort_after_earlier_ones(one: int, other: int, ten: bytes, more: bytes) -> None:
    earlier, later = sorted((one, other))
    if later - earlier > 1:
        assert made(earlier, ten) < made(later, more)


def test_all_74_bits_that_the_standard_leaves_to_chance_are_left_to_chance() -> None:
    zero = made(1, b"\0" * 10)
    telling = {made(1, (1 << bit).to_bytes(10, "big")) for bit in range(80)} - {zero}

    assert len(telling) == 74


def test_ids_of_one_moment_share_no_randomness() -> None:
    chance = random.Random(7)
    drawn: list[bytes] = []

    def randomness(count: int) -> bytes:
        drawn.append(chance.randbytes(count))
        return drawn[-1]

    ids = RequestIds(lambda: 1.0, randomness)
    made_at_once = {ids() for _ in range(1000)}

    assert len(made_at_once) == 1000
    assert sum(map(len, drawn)) >= 10 * 1000
