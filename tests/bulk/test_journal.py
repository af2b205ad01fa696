"""The journal: what is on disk when, after which crash, and who may open it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tollkeeper.bulk.journal import Finished, Journal
from tollkeeper.core.errors import GateError


def row(index: int, failed: bool = False) -> Finished:
    return Finished(index=index, failed=failed, attempts=1, cost_nano=5, ended_at=1, detail=b'{"index":%d}' % index)


def test_rows_are_on_disk_when_it_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        written: list[int] = []
        for index in (2, 0, 5):
            journal.put(row(index, failed=index == 5), lambda index=index: written.append(index))  # type: ignore[misc]
        assert written == []
        await journal.settled()
        assert written == [2, 0, 5]
        assert bytes(journal.done()) == b"\x01\x00\x01\x00\x00\x02"
        assert list(journal.details(1)) == [(2, b'{"index":2}'), (5, b'{"index":5}')]
        assert journal.totals() == type(journal.totals())(3, 1, 3, 15)
        journal.close()

    asyncio.run(run())


def test_what_needs_no_company_is_written_without_waiting_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollkeeper.bulk.journal._GATHER", 3600)

    async def run() -> None:
        journal = Journal(tmp_path / "j")
        journal.hasten()
        for index in range(3):
            journal.put(row(index), lambda: None)
            journal.hasten()
            journal.hasten()
            await journal.settled()
            assert journal.totals().rows == index + 1
        journal.close()

    asyncio.run(run())


def test_lines_are_given_up_to_the_first_gap_and_no_more_than_are_wanted(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        for index in (0, 1, 2, 4):
            journal.put(row(index), lambda: None)
        await journal.settled()
        assert journal.unbroken(0, 2) == (2, b'{"index":0}\n{"index":1}\n')
        assert journal.unbroken(1, 10) == (2, b'{"index":1}\n{"index":2}\n')
        assert journal.unbroken(3, 1) == (0, b"")
        journal.close()

    asyncio.run(run())


def test_long_lines_are_given_a_few_at_a_time(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        long = b'"' + b"x" * 3_000_000 + b'"'
        for index in range(5):
            journal.put(msgspec.structs.replace(row(index), detail=long), lambda: None)
        await journal.settled()
        assert journal.unbroken(0, 5) == (3, (long + b"\n") * 3)
        assert journal.unbroken(3, 2) == (2, (long + b"\n") * 2)
        journal.close()

    asyncio.run(run())


def test_a_row_that_ends_twice_keeps_its_first_end(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        journal.put(row(0), lambda: None)
        journal.put(row(0, failed=True), lambda: None)
        await journal.settled()
        assert journal.totals().failed == 0
        journal.close()

    asyncio.run(run())


def test_failed_rows_can_be_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        for index in range(10):
            journal.put(row(index, failed=index % 2 == 0), lambda: None)
        await journal.settled()
        assert journal.forget_failed() == 5
        assert journal.totals().rows == 5
        journal.close()

    asyncio.run(run())


def test_what_was_said_to_be_written_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from tollkeeper.bulk.journal import Finished, Journal\n"
        "async def run():\n"
        "    journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "    def told(index):\n"
        "        os.write(1, b'%d\\n' % index)\n"
        "        if index == 1500: os.kill(os.getpid(), 9)\n"
        "    for index in range(3000):\n"
        "        row = Finished(index=index, failed=False, attempts=1, cost_nano=1, ended_at=1, detail=b'{}')\n"
        "        journal.put(row, lambda index=index: told(index))\n"
        "        if index % 100 == 0: await asyncio.sleep(0.005)\n"
        "    await journal.settled()\n"
        "asyncio.run(run())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "j")],
        stdout=subprocess.PIPE,
        env=os.environ,
        check=False,
        timeout=60,
    )
    told = {int(line) for line in done.stdout.split()}
    assert done.returncode == -9
    assert len(told) == 1501

    async def look() -> None:
        journal = Journal(tmp_path / "j")
        found = journal.done()
        assert all(found[index] == 1 for index in told)
        journal.close()

    asyncio.run(look())


def test_a_disk_that_refuses_stops_the_job_and_frees_no_slot(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        other = sqlite3.connect(tmp_path / "j", isolation_level=None)
        other.execute("DROP TABLE rows")
        freed: list[int] = []
        journal.put(row(0), lambda: freed.append(0))
        with pytest.raises(GateError, match="cannot be written"):
            await journal.settled()
        assert freed == []
        other.close()
        journal.close()

    asyncio.run(run())


def test_rows_wait_for_another_process_that_writes(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        other = sqlite3.connect(tmp_path / "j", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        written = asyncio.Event()
        journal.put(row(0), written.set)
        await asyncio.sleep(0.05)
        assert not written.is_set()
        other.execute("COMMIT")
        await asyncio.wait_for(journal.settled(), 30)
        assert written.is_set()
        other.close()
        journal.close()

    asyncio.run(run())


def test_the_log_of_a_long_job_stays_short(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        for index in range(24):
            journal.put(msgspec.structs.replace(row(index), detail=b"x" * 1024 * 1024), lambda: None)
            await journal.settled()
        assert (tmp_path / "j-wal").stat().st_size < 12 * 1024 * 1024
        assert journal.totals().rows == 24
        journal.close()

    asyncio.run(run())


def test_a_log_that_a_killed_run_has_left_is_moved_first(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "j")
        other = sqlite3.connect(tmp_path / "j", isolation_level=None)  # what it keeps open, no close moves
        other.execute("SELECT count(*) FROM rows").fetchone()
        for index in range(5):
            journal.put(msgspec.structs.replace(row(index), detail=b"x" * 1024 * 1024), lambda: None)
        await journal.settled()
        journal.close()
        assert (tmp_path / "j").stat().st_size < 1024 * 1024
        again = Journal(tmp_path / "j")
        again.put(row(5), lambda: None)
        await again.settled()
        assert (tmp_path / "j").stat().st_size > 5 * 1024 * 1024
        other.close()
        again.close()

    asyncio.run(run())


def test_a_file_that_is_no_journal_is_refused_and_not_kept_open(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"SQLite format 4 or something else entirely" * 100)

    async def run() -> None:
        with pytest.raises(GateError, match="cannot be used as a journal") as refused:
            Journal(tmp_path / "j")
        found = [entry.frame.f_locals for entry in refused.traceback if entry.name == "_connect"]
        assert len(found) == 1
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            found[0]["database"].execute("SELECT 1")

    asyncio.run(run())
