"""Looking at another's job: from its journal, to its end, without holding it."""

import asyncio
from pathlib import Path

import pytest

from tollkeeper.bulk import watching
from tollkeeper.bulk.journal import Finished, Journal
from tollkeeper.core.errors import CallerError


def test_it_sees_what_is_on_disk_and_ends_when_nobody_runs_the_job(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal")
        for index in range(3):
            row = Finished(index=index, failed=index == 2, attempts=2, cost_nano=7, ended_at=1, detail=b"{}")
            journal.put(row, lambda: None)
        await journal.settled()
        looks = watching.looks(tmp_path / "journal")
        seen = next(looks)
        assert (seen.rows, seen.failed, seen.attempts, seen.cost_nano, seen.running) == (3, 1, 6, 21, True)
        journal.close()
        assert [each.running for each in looks] == [False]

    asyncio.run(run())


def test_where_there_is_no_job_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="There is no job here"):
        next(watching.looks(tmp_path / "journal"))
