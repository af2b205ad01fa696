"""Jobs of very many rows: they begin at once, take little memory however many there are, and each row is there once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kit.jobs import Folder, echo
from kit.scripted import Connection, Request, ScriptedUpstream
from kit.vitals import becomes, cpu_seconds, resident

MEGABYTE = 1024 * 1024
JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--resume")
MILLION = 1_000_000
LAST = 2000
"""Rows that are really asked in the end."""


def _start(folder: Folder) -> "subprocess.Popen[bytes]":
    """The job, with nobody who listens to it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tollkeeper", "run", *JOB, "--home", str(folder.path / "home")],
        cwd=folder.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _cpu_until_it_asks(path: Path, rows: int) -> float:
    """CPU seconds that a job of so many rows, killed then, has used when its first request arrives."""
    used: list[float] = []

    def first(request: Request, connection: Connection) -> bool:
        used.append(cpu_seconds(process.pid))
        return False

    with ScriptedUpstream(first) as upstream:
        folder = Folder(path, upstream.url)
        folder.prompts(rows)
        process = _start(folder)
        try:
            assert becomes(lambda: bool(used))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    return used[0]


@pytest.mark.long
@pytest.mark.row(82)
def test_a_job_of_a_million_rows_begins_as_soon_as_one_of_ten(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()

    assert _cpu_until_it_asks(many, MILLION) < 2 * _cpu_until_it_asks(few, 10) + 0.5


@pytest.mark.long
@pytest.mark.row(82)
def test_a_job_of_a_million_rows_goes_on_and_is_written_in_little_memory(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1)
        assert folder.run(*JOB)[0] == 0
        folder.prompts(MILLION)
        with sqlite3.connect(tmp_path / "out.jsonl.journal") as journal:
            journal.executemany(
                "INSERT INTO rows VALUES (?, 0, 1, 0, 0, ?)",
                (
                    (index, b'{"index":%d,"output":"re: prompt %d","error":null}' % (index, index))
                    for index in range(1, MILLION - LAST)
                ),
            )
        journal.close()
        process = _start(folder)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)

        assert process.returncode == 0
        print(f"{used.ru_maxrss // 1024} MB at most")
        assert used.ru_maxrss * 1024 < 300 * MEGABYTE
        assert len(upstream.requests) == 1 + LAST
        with (tmp_path / "out.jsonl").open("rb") as output:
            index = -1
            for index, line in enumerate(output):
                row = json.loads(line)
                assert (row["index"], row["output"], row["error"]) == (index, f"re: prompt {index}", None)
        assert index == MILLION - 1


@pytest.mark.long
@pytest.mark.row(82)
def test_rows_that_have_ended_leave_nothing_in_memory(tmp_path: Path) -> None:
    rows, early = 30_000, 8000
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(rows)
        process = _start(folder)
        try:
            assert becomes(lambda: len(upstream.requests) >= early, 300)
            before = resident(process.pid)
            assert becomes(lambda: len(upstream.requests) >= rows - 1000, 300)
            after = resident(process.pid)
            assert process.wait(60) == 0
        finally:
            process.kill()

        print(f"{before // MEGABYTE} MB after {early} rows, {after // MEGABYTE} MB after {rows}")
        assert after - before < 12 * MEGABYTE
        assert [row["index"] for row in folder.rows()] == list(range(rows))
