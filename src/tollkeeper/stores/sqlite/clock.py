"""The system's clock, which somebody may set: when that was, which `verify` has to know, and when that is believed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tollkeeper.core.ids import Clock
from tollkeeper.core.moment import moment
from tollkeeper.stores.sqlite import database

_LEAST = 20
"""Milliseconds that the clock must be set by between two looks; to drift or to be slewed is not to be set."""
_AROUND = 60_000
"""Milliseconds before that look in which it may have been: a busy machine can be late to look by seconds."""
_KEPT = 1000
_CALLS_LAST = 3_600_000
"""Milliseconds: an attempt that was under way has an end that is off by as much as the clock was set."""

_AHEAD = 3600.0
"""Seconds that the clock may be set ahead by and be followed at once."""
_STOOD = 86_400.0

Step = tuple[int, int]
"""(what the clock should have said, what it said), Unix milliseconds."""


class ClockWatch:
    """Looks at the system's clock beside one that nobody sets."""

    def __init__(self, now: Clock, monotonic: Clock) -> None:
        self._now = now
        self._monotonic = monotonic
        said, passed = moment(now, monotonic)
        self._offset = said - passed

    def look(self) -> Step | None:
        """Whether the clock was set since the last look."""
        said, passed = moment(self._now, self._monotonic)
        before, self._offset = self._offset, said - passed
        step = (int((before + passed) * 1000), int(said * 1000))
        return step if abs(step[1] - step[0]) >= _LEAST else None


class SettledClock:
    """For what cannot be undone: a clock that is set far ahead is followed only when it has stood there for a day.

    At once it is followed back, and where it began. Calls give Unix seconds.
    """

    def __init__(self, now: Clock, monotonic: Clock) -> None:
        self._now = now
        self._monotonic = monotonic
        said, passed = moment(now, monotonic)
        self._offset = said - passed
        self._ahead_since: float | None = None

    def __call__(self) -> float:
        said, passed = moment(self._now, self._monotonic)
        offset = said - passed
        if offset - self._offset > _AHEAD:
            if self._ahead_since is None:
                self._ahead_since = passed
            if passed - self._ahead_since < _STOOD:
                return self._offset + passed
        self._offset, self._ahead_since = offset, None
        return said


def put(step: Step) -> Callable[[sqlite3.Connection], None]:
    """What writes it, in a transaction of its own; the oldest go when there are too many."""

    def work(writer: sqlite3.Connection) -> None:
        writer.execute("BEGIN IMMEDIATE")
        try:
            writer.execute("INSERT INTO clock_steps (should, said) VALUES (?, ?)", step)
            writer.execute(
                "DELETE FROM clock_steps WHERE number <= (SELECT max(number) FROM clock_steps) - ?", (_KEPT,)
            )
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise

    return work


def at_start(home: Path, now_ms: int) -> Step | None:
    """Whether the clock was set back while no gate ran: the last request began later than now. Raises GateError."""
    with closing(database.connect(home)) as reader:
        [(last,)] = reader.execute("SELECT max(request_id) FROM events")
    try:
        made_at = int(last[:12], 16) if last else 0
    except ValueError:
        return None
    return (made_at, now_ms) if made_at - now_ms >= _LEAST else None


def disturbed(reader: sqlite3.Connection) -> list[tuple[int, int]]:
    """The stretches of time, in Unix milliseconds, in which starts and ends tell no order."""
    return [
        (min(should, said) - _AROUND, max(should, said) + abs(should - said) + _CALLS_LAST)
        for should, said in reader.execute("SELECT should, said FROM clock_steps")
    ]
