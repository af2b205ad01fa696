"""How a job went over time: a bounded row of looks at it, kept in its journal over all its runs."""

from typing import Any

import msgspec
from msgspec import Struct

from tollkeeper.bulk.concurrency import Concurrency
from tollkeeper.bulk.ending import Counts
from tollkeeper.bulk.journal import Journal

_NAME = "samples"
_MOST = 1000


class Sample(Struct, frozen=True, array_like=True):
    """One look. Counts are of the run so far, from 0."""

    at: float
    """Unix seconds."""
    rows: int
    tokens: int
    cost_nano: int
    under_way: int
    window: int | None
    """Calls that may be under way; None where a provider decides it."""
    p50: float | None
    """Seconds that the latest answers took; None where there were none since the last look."""
    p95: float | None
    errors: dict[str, int]
    """Failed tries by kind."""


_decode = msgspec.json.Decoder(list[list[Sample]]).decode


class Samples:
    """Of one run. Where there are too many, every second one goes, and the next are as far apart."""

    def __init__(self) -> None:
        self.found: list[Sample] = []
        self._apart = 0.0

    def look(self, now: float, counts: Counts, under_way: int, concurrency: Concurrency | None, *, last: bool) -> None:
        """Takes a sample, unless the last one was taken just now. `now` is Unix seconds."""
        if self.found and not last and now - self.found[-1].at < self._apart:
            return
        latest = sorted(counts.seconds)
        counts.seconds.clear()
        self.found.append(
            Sample(
                now,
                counts.well + counts.failed,
                counts.tokens,
                counts.cost_nano,
                under_way,
                None if concurrency is None else concurrency.window,
                latest[len(latest) // 2] if latest else None,
                latest[len(latest) * 95 // 100] if latest else None,
                dict(counts.errors),
            )
        )
        if len(self.found) > _MOST:
            span = self.found[-1].at - self.found[0].at
            del self.found[1::2]
            self._apart = 1.5 * span / len(self.found)

    def keep(self, journal: Journal) -> None:
        """Adds the run to those that the journal has."""
        runs = [*runs_of(journal), self.found]
        journal.note(**{_NAME: msgspec.json.encode(runs).decode()})


def runs_of(journal: Journal) -> list[list[Sample]]:
    """The samples of each run, the first one first."""
    text: Any = journal.about().get(_NAME)
    return [] if text is None else _decode(text)
