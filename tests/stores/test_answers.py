"""Kept answers in memory: time, bytes, number, and which one goes."""

import asyncio

import msgspec
import pytest

from tollkeeper.core.kept import Kept
from tollkeeper.stores.memory.answers import MemoryAnswers


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answer(size: int = 100, text: bytes = b"x") -> Kept:
    return Kept(
        status=200,
        headers=(),
        pieces=(text * size,),
        streamed=False,
        provider="up",
        model=None,
        model_used=None,
        cost_nano=0,
        at=0.0,
    )


def get(answers: MemoryAnswers, name: bytes) -> Kept | None:
    return asyncio.run(answers.get(name))


def test_what_is_put_is_got_until_its_time_is_over(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 10_000)
    answers.put(b"a", answer(), 5)

    clock.now = 104.9
    assert get(answers, b"a") == answer()
    assert get(answers, b"b") is None
    clock.now = 105
    assert get(answers, b"a") is None
    assert (len(answers), answers.bytes) == (0, 0)


def test_another_answer_takes_the_place_of_the_first(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 10_000)
    answers.put(b"a", answer(3000), 5)
    answers.put(b"a", answer(5, b"y"), 9)

    clock.now = 107
    assert get(answers, b"a") == answer(5, b"y")
    assert answers.bytes < 2000


def test_the_bytes_are_bounded_and_the_one_not_used_for_longest_goes(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 10_000)
    for number in range(100):
        answers.put(b"%d" % number, answer(1000), 60)
        assert get(answers, b"0") is not None
        assert answers.bytes <= 10_000

    assert get(answers, b"99") is not None
    assert get(answers, b"1") is None
    assert len(answers) > 3


def test_their_number_is_bounded(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 1_000_000, 3)
    for number in range(5):
        answers.put(b"%d" % number, answer(), 60)

    assert [get(answers, b"%d" % number) is not None for number in range(5)] == [False, False, True, True, True]


def test_what_is_larger_than_all_of_it_pushes_nothing_out(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 10_000)
    answers.put(b"small", answer(), 60)
    answers.put(b"large", answer(20_000), 60)

    assert get(answers, b"large") is None
    assert get(answers, b"small") is not None


def test_smaller_bounds_hold_at_once(clock: Clock) -> None:
    answers = MemoryAnswers(clock, 100_000)
    for number in range(10):
        answers.put(b"%d" % number, answer(1000), 60)
    answers.bound(5000, 2)

    assert len(answers) == 2
    assert answers.bytes <= 5000
    answers.bound(0)
    assert (len(answers), answers.bytes) == (0, 0)
    answers.put(b"a", msgspec.structs.replace(answer(), pieces=None), 60)
    assert len(answers) == 0
