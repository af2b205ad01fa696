"""Runs a job of a million rows to its end: resident memory on the way, the time to the first request, and every row once.

    nice .venv/bin/python -m bench.bulk_memory [--rows 1000000] [--minutes 60]

It needs about 1.5 KB of disk a row in the temporary folder, and ends by itself after `--minutes`. Exits with 1 where a row
is missing or not in its place.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

from bench.bulk import prepared
from bench.processes import end, resident_kb

_EVERY = 0.5
"""Seconds between two looks at the process."""


def main() -> None:
    """Prints a line for each tenth of the rows, and what came of it."""
    options = argparse.ArgumentParser(prog="bench.bulk_memory", description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--minutes", type=float, default=60.0)
    given = options.parse_args()
    with prepared(given.rows) as (folder, _, said):
        _run(folder, given.rows, given.minutes * 60, said)
        if not _whole(folder / "out.jsonl", given.rows):
            sys.exit("Rows are missing or not in their places.")
        print(f"{given.rows:,} rows, each once and in its place")


def _run(folder: Path, rows: int, seconds: float, said: "multiprocessing.Queue[float]") -> None:
    command = [sys.executable, "-m", "tollkeeper", "run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--json"]
    with (folder / "said").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen([*command, "--home", "home"], cwd=folder, stdout=log, stderr=log)
    try:
        first = said.get(timeout=60) - began
        print(f"first request after {first:.2f} s", flush=True)
        most = seen = 0
        tenth = 0
        while process.poll() is None:
            if time.monotonic() - began > seconds:
                sys.exit(f"Not at its end after {seconds:,.0f} s.")
            time.sleep(_EVERY)
            seen = resident_kb(process.pid) or seen
            most = max(most, seen)
            done = _done(folder / "said")
            if done * 10 // rows > tenth:
                tenth = done * 10 // rows
                print(f"{done:>10,} rows after {time.monotonic() - began:,.0f} s: {seen / 1024:,.0f} MB", flush=True)
        if process.returncode:
            sys.exit(f"It ended with {process.returncode}: {(folder / 'said').read_text('utf-8')[-500:]}")
        took = time.monotonic() - began
        print(f"the most that was resident: {most / 1024:,.0f} MB; {rows / took:,.0f} rows/s in all", flush=True)
    finally:
        end(process)


def _done(log: Path) -> int:
    """Rows that had ended at the last progress that was written."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4096))
        lines = [line for line in stream.read().splitlines() if line.startswith(b"{") and line.endswith(b"}")]
    found: int = json.loads(lines[-1]).get("rows", 0) if lines else 0
    return found


def _whole(output: Path, rows: int) -> bool:
    index = -1
    with output.open("rb") as stream:
        for index, line in enumerate(stream):
            found = json.loads(line)
            if found["index"] != index or found["error"] is not None:
                return False
    return index == rows - 1


if __name__ == "__main__":
    main()
