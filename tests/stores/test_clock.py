"""A clock that is set is noticed, one that is slow is not, and the time around it is known to be without order."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.records import NOW, event, request_id, write
from tollkeeper.stores.sqlite import clock, database
from tollkeeper.stores.sqlite.clock import ClockWatch

HOUR = 3_600_000


class Time:
    def __init__(self) -> None:
        self.wall, self.mono = NOW / 1000, 5.0

    def passes(self, seconds: float, drift: float = 0.0) -> None:
        self.mono += seconds
        self.wall += seconds + drift


@pytest.fixture
def connection(home: Path) -> Iterator[sqlite3.Connection]:
    home.mkdir()
    with contextlib.closing(database.connect(home)) as opened:
        yield opened


@pytest.mark.parametrize("seconds", [-3600, -1.5, -0.05, 0.05, 1.5, 3600])
def test_a_clock_that_was_set_is_noticed_once(seconds: float) -> None:
    time = Time()
    watch = ClockWatch(lambda: time.wall, lambda: time.mono)
    time.passes(0.3)
    assert watch.look() is None
    time.passes(0.3, seconds)

    assert watch.look() == pytest.approx((NOW + 600, NOW + 600 + seconds * 1000), rel=0, abs=1)
    time.passes(0.3)
    assert watch.look() is None


def test_drift_and_a_loop_that_stalls_are_no_setting() -> None:
    time = Time()
    watch = ClockWatch(lambda: time.wall, lambda: time.mono)
    for _ in range(1000):
        time.passes(0.3, 0.0005)
        assert watch.look() is None
    time.passes(60.0)
    assert watch.look() is None


def test_the_stretch_around_a_step_is_disturbed(connection: sqlite3.Connection) -> None:
    clock.put((NOW, NOW - HOUR))(connection)
    clock.put((NOW, NOW + 5000))(connection)

    assert clock.disturbed(connection) == [
        (NOW - HOUR - 60_000, NOW + 2 * HOUR),
        (NOW - 60_000, NOW + 10_000 + HOUR),
    ]


def test_few_are_kept(connection: sqlite3.Connection) -> None:
    for number in range(1010):
        clock.put((number, number + 5000))(connection)

    assert len(clock.disturbed(connection)) == 1000


def test_a_clock_set_back_while_no_gate_ran_is_noticed_at_the_start(home: Path) -> None:
    write(home, [event(request_id=request_id(NOW))])

    assert clock.at_start(home, NOW + 1) is None
    assert clock.at_start(home, NOW - HOUR) == (NOW, NOW - HOUR)


def test_an_empty_ledger_has_no_last_request(home: Path) -> None:
    write(home, [])

    assert clock.at_start(home, 0) is None
