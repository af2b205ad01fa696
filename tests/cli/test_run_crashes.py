"""Jobs that are killed, interrupted, or run out of disk: every row is there once in the end, and little is paid twice."""

import csv
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kit.jobs import Folder, after, answers, echo
from kit.scripted import ScriptedUpstream
from kit.vitals import becomes

JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--resume")


def _killed_at_random(path: Path, rows: int, kills: int, at_once: int, seed: int) -> None:
    draw = random.Random(seed)
    with ScriptedUpstream(after(0.002)) as upstream:
        folder = Folder(path, upstream.url)
        folder.prompts(rows)
        arguments = (*JOB, "--concurrency", str(at_once))
        for number in range(kills):
            process = folder.start(*arguments)
            had = len(upstream.requests)
            # Not before it asks, most times: else nothing but starts would be tried.
            if number % 5:
                becomes(lambda had=had, process=process: len(upstream.requests) > had or process.poll() is not None)  # type: ignore[misc]
            time.sleep(draw.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        code, _, err = folder.run(*arguments, within=300)

        assert code == 0, err
        found = folder.rows()
        assert [row["index"] for row in found] == list(range(rows))
        assert [row["output"] for row in found] == answers(rows)
        assert len(upstream.requests) <= rows + kills * at_once
        asked = Counter(request.json()["messages"][-1]["content"] for request in upstream.requests)
        assert len(asked) == rows
        if number := sum(count - 1 for count in asked.values()):
            assert number <= kills * at_once
        usage = folder.command("usage", "--by", "key")[0]
        assert usage["attempts"] >= len(upstream.requests)
        assert folder.command("verify")


@pytest.mark.row(79)
def test_a_job_that_is_killed_ten_times_has_every_row_once_in_order(tmp_path: Path) -> None:
    _killed_at_random(tmp_path, rows=500, kills=10, at_once=8, seed=79)


@pytest.mark.long
@pytest.mark.row(79)
def test_a_job_that_is_killed_two_hundred_times_has_every_row_once_in_order(tmp_path: Path) -> None:
    _killed_at_random(tmp_path, rows=10_000, kills=200, at_once=16, seed=7979)


def _ended(folder: Folder, rows: int) -> bytes:
    """A job whose rows have all ended, for most of them without having been asked; returns the output that it must have."""
    folder.prompts(1)
    assert folder.run(*JOB)[0] == 0
    first = (folder.path / "out.jsonl").read_bytes()
    folder.prompts(rows)
    details = [b'{"index":%d,"output":"%b"}' % (index, b"x" * 500) for index in range(1, rows)]
    with sqlite3.connect(folder.path / "out.jsonl.journal") as journal:
        journal.executemany(
            "INSERT INTO rows VALUES (?, 0, 1, 0, 0, ?)", [(index, line) for index, line in enumerate(details, 1)]
        )
    journal.close()
    return first + b"".join(line + b"\n" for line in details)


@pytest.mark.row(80)
def test_killed_while_it_writes_the_output_the_old_one_stays_or_the_new_one_is_whole(tmp_path: Path) -> None:
    draw = random.Random(80)
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        whole = _ended(folder, 100_000)
        output, growing = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.tmp"
        for _ in range(3):
            output.write_bytes(b"old")
            growing.unlink(missing_ok=True)
            process = folder.start(*JOB)
            assert becomes(growing.exists)
            time.sleep(draw.uniform(0, 0.3))
            process.kill()
            process.communicate()
            found = output.read_bytes()
            assert found in (b"old", whole)
        assert folder.run(*JOB)[0] == 0
        assert output.read_bytes() == whole
        assert not growing.exists()


def _limited(folder: Folder, upstream: str, most: int, job: tuple[str, ...] = JOB) -> "subprocess.Popen[bytes]":
    """The job, asking the upstream as if it were a gate, so that of what it writes only journal and output are large."""
    return subprocess.Popen(
        [sys.executable, "-m", "tollkeeper", "run", *job, "--gate", upstream],
        cwd=folder.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TOLLKEEPER_KEY": "tk-x"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )


@pytest.mark.row(89)
def test_a_full_disk_stops_the_job_at_once_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(3000)
        process = _limited(folder, upstream.url, 200_000)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"cannot be written" in err
        assert b"Traceback" not in err
        assert not (tmp_path / "out.jsonl").exists()
        asked = len(upstream.requests)
        assert 0 < asked < 3000
        process = _limited(folder, upstream.url, 1 << 40)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert [row["output"] for row in folder.rows()] == answers(3000)
        assert len(upstream.requests) <= 3000 + 600  # rows of one batch of the journal, and calls under way


@pytest.mark.row(89)
def test_where_the_output_finds_no_room_the_old_one_stays_and_nothing_is_asked_again(tmp_path: Path) -> None:
    job = ("in.csv", "-o", "out.csv", "--model", "m", "--prompt", "prompt.txt", "--resume")
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        # What nobody is asked about is in the output too, which makes it larger than the journal.
        lines = [f"prompt {number},{'x' * 50_000}\n" for number in range(100)]
        (tmp_path / "in.csv").write_text("asked,more\n" + "".join(lines[:1]))
        (tmp_path / "prompt.txt").write_text("{{ asked }}")
        assert folder.run(*job, "--gate", upstream.url, TOLLKEEPER_KEY="tk-x")[0] == 0
        old = (tmp_path / "out.csv").read_bytes()
        (tmp_path / "in.csv").write_text("asked,more\n" + "".join(lines))
        process = _limited(folder, upstream.url, 2_000_000, job)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"out.csv cannot be written" in err
        assert b"Traceback" not in err
        assert (tmp_path / "out.csv").read_bytes() == old
        assert not (tmp_path / ".out.csv.tmp").exists()
        assert len(upstream.requests) == 100
        process = _limited(folder, upstream.url, 1 << 40, job)
        process.communicate(timeout=60)
        assert process.returncode == 0
        with (tmp_path / "out.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["output"] for row in rows] == answers(100)
        assert {len(row["more"]) for row in rows} == {50_000}
        assert len(upstream.requests) == 100


@pytest.mark.row(89)
def test_nobody_reads_what_it_says_and_the_job_ends_well(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.01)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(300)
        process = folder.start(*JOB, "--json", "--concurrency", "10")
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        process.stdout.close()
        process.wait(60)
        assert [row["output"] for row in folder.rows()] == answers(300)


@pytest.mark.row(89)
def test_interrupted_twice_it_cuts_what_is_under_way_and_can_go_on(tmp_path: Path) -> None:
    with ScriptedUpstream(after(30.0)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(20)
        process = folder.start(*JOB, "--concurrency", "5")
        assert becomes(lambda: len(upstream.requests) == 5)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"Once more" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 130
        found = folder.rows()
        assert [row["error"]["code"] for row in found] == ["not_run"] * 20
        upstream.script = echo
        assert folder.run(*JOB)[0] == 0
        assert [row["output"] for row in folder.rows()] == answers(20)
        events = json.dumps(folder.command("usage", "--by", "key"))
        assert '"attempts": 25' in events
