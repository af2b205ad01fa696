"""Rows that wait for their next try: in order of time, bounded, and not long at the end of a job that fares well."""

import math

from tollkeeper.bulk.shaping import Request
from tollkeeper.bulk.tries import Limits, Try
from tollkeeper.bulk.waiting import Waiting


def a_try(index: int) -> Try:
    return Try(Request(index, None, "", b""))


def longest(low: float, high: float) -> float:
    return high


def waiting(limits: Limits | None = None, now: float = 0.0) -> Waiting:
    return Waiting(limits or Limits(base=0.5, cap=60.0, last_cap=1.0), lambda: now, longest)


def test_a_wait_doubles_with_every_try_up_to_a_cap() -> None:
    for tries, seconds in ((1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (2000, 60.0)):
        rows = waiting()
        rows.put(a_try(0), 100.0, tries)
        assert rows.due_at == 100.0 + seconds


def test_a_wait_is_no_shorter_than_the_provider_says_and_no_longer_than_the_most() -> None:
    rows = waiting()
    rows.put(a_try(0), 100.0, 6, most=10.0)
    assert rows.due_at == 110.0
    rows = waiting()
    rows.put(a_try(0), 100.0, 6, 50.0, most=10.0)
    assert rows.due_at == 150.0


def test_rows_come_in_the_order_of_their_times_and_those_put_aside_after_them() -> None:
    rows = waiting()
    aside = a_try(3)
    aside.first_at = 5.0
    rows.put_aside(aside)
    assert (rows.due_at, aside.parked, aside.first_at) == (math.inf, True, None)
    for index, tries in ((0, 3), (1, 1), (2, 2)):
        rows.put(a_try(index), 0.0, tries)
    assert len(rows) == 4
    assert [rows.take().request.index for _ in range(3)] == [1, 2, 0]
    assert rows.due_at == math.inf
    assert rows.take_aside() is aside
    assert rows.take_aside() is None
    assert not rows


def test_no_new_rows_are_wanted_while_many_wait() -> None:
    rows = waiting(Limits(concurrency=300))
    for index in range(1200):
        assert not rows.crowded
        (rows.put_aside(a_try(index)) if index % 2 else rows.put(a_try(index), 0.0, 1))
    assert rows.crowded
    rows.take()
    assert not rows.crowded


def test_the_last_rows_are_brought_forward_but_not_before_the_provider_allows() -> None:
    rows = waiting(now=10.0)
    rows.fares.extend([True, False, False])
    rows.put(a_try(0), 0.0, 6)
    rows.put(a_try(1), 0.0, 1, 40.0)
    rows.bring_forward()
    assert rows.due_at == 11.0
    rows.put(a_try(2), 10.5, 6)
    assert [(rows.due_at, rows.take().request.index) for _ in range(3)] == [(11.0, 0), (11.5, 2), (40.0, 1)]


def test_the_last_rows_wait_as_ever_where_the_provider_fares_badly() -> None:
    rows = waiting(now=10.0)
    rows.fares.extend([True, False, False, False])
    rows.put(a_try(0), 0.0, 6)
    rows.bring_forward()
    rows.put(a_try(1), 0.0, 5)
    assert [(rows.due_at, rows.take().request.index) for _ in range(2)] == [(16.0, 1), (32.0, 0)]
