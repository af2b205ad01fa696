"""Looks at a job over time: bounded however long it runs, evenly spread, and kept over its runs."""

import asyncio
from pathlib import Path

from tollkeeper.bulk.ending import Counts
from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.samples import Samples, runs_of


def test_however_long_it_runs_there_are_few_and_evenly_spread() -> None:
    samples, counts = Samples(), Counts()
    for half_seconds in range(50_000):
        counts.well = half_seconds
        samples.look(half_seconds / 2, counts, 1, None, last=False)
    samples.look(25_000, counts, 0, None, last=True)
    assert 400 < len(samples.found) <= 1001
    assert samples.found[0].at == 0
    assert samples.found[-1].at == 25_000
    apart = [after.at - before.at for before, after in zip(samples.found, samples.found[1:-1], strict=False)]
    assert max(apart) < 200


def test_runs_are_kept_one_after_the_other(tmp_path: Path) -> None:
    asyncio.run(_kept(tmp_path))


async def _kept(folder: Path) -> None:
    journal = Journal(folder / "journal")
    try:
        for rows in (3, 5):
            counts = Counts()
            counts.well, counts.errors["timeout"] = rows, 1
            counts.seconds.extend((0.1, 0.2, 0.9))
            samples = Samples()
            samples.look(1.0, counts, 0, None, last=True)
            samples.keep(journal)
        first, second = runs_of(journal)
        assert (first[0].rows, second[0].rows) == (3, 5)
        assert (first[0].p50, first[0].p95, first[0].errors) == (0.2, 0.9, {"timeout": 1})
    finally:
        journal.close()
