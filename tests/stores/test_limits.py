"""Counters of limits: all are taken or none, what is paid off is forgotten, a new amount keeps what was taken."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from time import monotonic
from time import time as wall_clock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.dynamodb import moto, new_place
from kit.properties import examples
from tollkeeper.core.gcra import UNKNOWN, Allowance, Standing, allowance
from tollkeeper.core.ports import Limiter
from tollkeeper.core.rate import parse
from tollkeeper.stores.dynamodb.limits import DynamoLimiter
from tollkeeper.stores.dynamodb.table import Table
from tollkeeper.stores.memory.limits import MemoryLimiter
from tollkeeper.upstream.client import HttpClient


class Time:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


class Settling(DynamoLimiter):
    """Has what is adjusted in the table at once, as a Lambda has before its event ends."""

    def adjust(self, allowances: Sequence[Allowance], deltas: Sequence[int], holder: str) -> None:
        async def adjusted() -> None:
            super(Settling, self).adjust(allowances, deltas, holder)
            await self.settled(30)

        LOOP.run_until_complete(adjusted())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(params=["memory", "dynamodb"])
def limiter(request: pytest.FixtureRequest, time: Time) -> Iterator[Limiter]:
    if request.param == "memory":
        yield MemoryLimiter(time)
        return
    client = HttpClient(monotonic)
    table = Table(new_place(request.getfixturevalue("url")), client, wall_clock, random.random)
    yield Settling(table, time, random.random)
    LOOP.run_until_complete(client.close())


def ready(*texts: str) -> list[Allowance]:
    return [allowance(parse(text, "key", "key_1")) for text in texts]


LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def _one_loop_for_all() -> Iterator[None]:
    yield
    LOOP.close()


def take(limiter: Limiter, allowances: Sequence[Allowance], *costs: int) -> list[Standing]:
    return LOOP.run_until_complete(limiter.take(allowances, costs, "call_1"))


def look(limiter: Limiter, allowances: Sequence[Allowance], *costs: int) -> list[Standing]:
    return LOOP.run_until_complete(limiter.look(allowances, costs))


def test_nothing_is_taken_of_any_limit_where_one_refuses(limiter: Limiter) -> None:
    limits = ready("60 requests/minute burst 5", "600 tokens/minute burst 100", "2 concurrent")
    assert [wait for _, _, wait in take(limiter, limits, 1, 90, 1)] == [0, 0, 0]

    refused = take(limiter, limits, 1, 20, 1)

    assert refused == [(4, 1_000_000, 0), (10, 9_000_000, 1_000_000), (1, 0, 0)]
    assert look(limiter, limits, 1, 10, 1) == [(3, 2_000_000, 0), (0, 10_000_000, 0), (0, 0, 0)]


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 60), st.booleans()), min_size=1, max_size=40
)


@given(OPERATIONS)
@examples(200)
def test_whatever_is_asked_together_the_counters_know_only_of_what_was_admitted(
    operations: list[tuple[int, int, int, bool]],
) -> None:
    """Two limiters, one of which is never asked what the other refused: they stay the same."""
    time = Time()
    asked, spared = MemoryLimiter(time), MemoryLimiter(time)
    limits = ready("6 requests/10s burst 2", "60 tokens/10s burst 50", "3 concurrent")
    under_way = 0

    for seconds, requests, tokens, ends in operations:
        time.seconds += seconds
        costs = (requests, tokens, 1)
        waits = [wait for _, _, wait in take(asked, limits, *costs)]
        if not any(waits):
            take(spared, limits, *costs)
            under_way += 1
        if ends and under_way:
            under_way -= 1
            for limiter in (asked, spared):
                limiter.adjust(limits, (0, 0, -1), "call_1")

        assert look(asked, limits, 0, 0, 0) == look(spared, limits, 0, 0, 0)
        assert look(asked, limits, 0, 0, 0)[2][0] == 3 - under_way


@given(OPERATIONS, st.integers(1, 2), st.integers(1, 60))
@examples(200)
def test_who_waits_as_the_longest_of_several_limits_says_is_admitted_and_a_microsecond_earlier_is_not(
    operations: list[tuple[int, int, int, bool]], requests: int, tokens: int
) -> None:
    microseconds = 0
    limiter = MemoryLimiter(lambda: Fraction(microseconds, 1_000_000))
    limits = ready("6 requests/10s burst 2", "60 tokens/10s burst 50", "7 tokens/minute burst 7")
    for milliseconds, some_requests, some_tokens, _ in operations:
        microseconds += milliseconds * 777_777
        take(limiter, limits, some_requests, some_tokens, some_tokens % 8)

    longest = max(wait for _, _, wait in take(limiter, limits, requests, tokens, 7))

    if longest:
        microseconds += longest - 1
        assert max(wait for _, _, wait in look(limiter, limits, requests, tokens, 7)) == 1
        microseconds += 1
        assert not any(wait for _, _, wait in take(limiter, limits, requests, tokens, 7))


def test_calls_under_way_are_counted_until_they_end(limiter: Limiter) -> None:
    limits = ready("2 concurrent")
    assert take(limiter, limits, 1) == [(1, 0, 0)]
    assert take(limiter, limits, 1) == [(0, 0, 0)]
    assert take(limiter, limits, 1) == [(0, 0, UNKNOWN)]

    limiter.adjust(limits, (-1,), "call_1")

    assert take(limiter, limits, 1) == [(0, 0, 0)]


def test_what_was_taken_too_much_is_given_back_and_what_was_used_beyond_is_owed(limiter: Limiter, time: Time) -> None:
    limits = ready("60 tokens/minute burst 60")
    take(limiter, limits, 50)

    limiter.adjust(limits, (-30,), "call_1")
    assert look(limiter, limits, 0)[0][0] == 40
    limiter.adjust(limits, (-1000,), "call_1")
    assert look(limiter, limits, 0)[0][0] == 60
    limiter.adjust(limits, (90,), "call_1")
    assert look(limiter, limits, 1) == [(0, 90_000_000, 31_000_000)]
    time.seconds += 31
    assert take(limiter, limits, 1)[0][2] == 0


def test_giving_back_to_a_counter_that_is_forgotten_makes_no_credit(limiter: Limiter) -> None:
    limits = ready("60 tokens/minute burst 60", "3 concurrent")

    limiter.adjust(limits, (-30, -1), "call_1")

    assert look(limiter, limits, 0, 0) == [(60, 0, 0), (3, 0, 0)]


def test_a_new_amount_keeps_what_was_taken(limiter: Limiter) -> None:
    take(limiter, ready("60 tokens/minute burst 60"), 50)

    assert look(limiter, ready("600 tokens/minute burst 600"), 0) == [(550, 5_000_000, 0)]
    assert look(limiter, ready("6 tokens/minute burst 6"), 1)[0][2] == 450_000_000


def test_counters_that_are_paid_off_are_forgotten(time: Time) -> None:
    limiter = MemoryLimiter(time)
    most = 0
    for number in range(2000):
        take(limiter, [allowance(parse("60 requests/minute", "key", f"key_{number}"))], 1)
        time.seconds += 0.1
        most = max(most, len(limiter))

    assert most <= 2 * 10 + 2  # each is paid off after a second

    busy = ready("1 requests/day", "5 concurrent")
    take(limiter, busy, 1, 1)
    for number in range(2000):
        take(limiter, [allowance(parse("60 requests/minute", "key", f"key_{number}"))], 1)
        time.seconds += 0.1
    assert look(limiter, busy, 0, 0)[0][0] == 0
    limiter.adjust(busy, (0, -1), "call_1")
    time.seconds += 86_400
    take(limiter, ready("7 requests/minute"), 1)
    take(limiter, ready("7 requests/hour"), 1)
    for number in range(30):
        take(limiter, [allowance(parse("60 requests/minute", "key", f"key_{number}"))], 1)
        time.seconds += 10
    assert len(limiter) <= 3


def test_many_gates_admit_no_more_together_than_one(url: str, time: Time) -> None:
    place = new_place(url)
    limits = ready("10 requests/hour", "4 concurrent")

    async def admitted() -> int:
        client = HttpClient(monotonic)
        gates = [DynamoLimiter(Table(place, client, wall_clock, random.random), time, random.random) for _ in range(3)]
        try:
            tried = [gate.take(limits, (1, 1), f"call_{n}_{m}") for n, gate in enumerate(gates) for m in range(3)]
            found = await asyncio.gather(*tried)
            return sum(not any(wait for _, _, wait in each) for each in found)
        finally:
            await client.close()

    assert LOOP.run_until_complete(admitted()) == 4


def test_calls_under_way_whose_gate_died_are_forgotten(url: str, time: Time) -> None:
    client = HttpClient(monotonic)
    limiter = Settling(Table(new_place(url), client, wall_clock, random.random), time, random.random)
    limits = ready("1 concurrent")
    assert take(limiter, limits, 1) == [(0, 0, 0)]
    assert take(limiter, limits, 1) == [(0, 0, UNKNOWN)]

    time.seconds += 15 * 60 + 1

    assert take(limiter, limits, 1) == [(0, 0, 0)]
    LOOP.run_until_complete(client.close())
