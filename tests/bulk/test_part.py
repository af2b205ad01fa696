"""What is ready of a job can be read while it runs, up to the first gap, through kills and resumes."""

import asyncio
import json
from pathlib import Path

from tollkeeper.bulk.journal import Finished, Journal
from tollkeeper.bulk.part import Part


def _ended(index: int) -> Finished:
    return Finished(index=index, failed=False, attempts=1, cost_nano=1, ended_at=1, detail=b'{"index":%d}' % index)


def test_it_grows_to_the_first_gap_and_goes_on_after_a_crash_in_the_midst_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "out.part"

    def shown() -> list[int]:
        return [json.loads(line)["index"] for line in path.read_bytes().splitlines()]

    async def run() -> None:
        journal = Journal(tmp_path / "journal")
        part = Part(path, anew=True)
        for index in (0, 1, 3):
            journal.put(_ended(index), lambda: None)
        await journal.settled()
        part.grow(journal)
        assert shown() == [0, 1]
        part.close(whole=False)
        path.write_bytes(path.read_bytes() + b'{"ind')
        part = Part(path, anew=False)
        assert part.rows == 2
        journal.put(_ended(2), lambda: None)
        await journal.settled()
        part.grow(journal)
        assert shown() == [0, 1, 2, 3]
        part.close(whole=True)
        assert not path.exists()
        journal.close()

    asyncio.run(run())
