"""Looks at a job that another process runs: how far it has come, from its journal, without disturbing it."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from tollkeeper.core.errors import CallerError

EVERY = 1.0
"""Seconds between two looks, at least: a look takes no more than a twentieth of the time."""
_RATE_OVER = 20.0


class Seen(Struct, frozen=True):
    """One look. `at` is monotonic seconds."""

    at: float
    rows: int
    failed: int
    attempts: int
    cost_nano: int
    running: bool
    """Whether a process runs the job."""


def looks(journal: Path) -> Iterator[Seen]:
    """A look now and then, until nobody runs the job; that look is the last. Raises CallerError where there is no job."""
    if not journal.exists():
        raise CallerError(f"There is no job here: {journal} is missing.", status=404, code="job_not_found")
    while True:
        began = time.monotonic()
        running = _held(journal)
        seen = _look(journal, running)
        yield seen
        if not running:
            return
        time.sleep(max(EVERY, 20 * (time.monotonic() - began)))


def per_second(first: Seen, last: Seen) -> float:
    """Rows a second between two looks."""
    return (last.rows - first.rows) / max(last.at - first.at, 1e-6)


def _look(journal: Path, running: bool) -> Seen:
    query = (
        "SELECT count(*), coalesce(sum(failed), 0), coalesce(sum(attempts), 0), coalesce(sum(cost_nano), 0) FROM rows"
    )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(journal))}?mode=ro", uri=True)) as database:
            rows, failed, attempts, cost_nano = database.execute(query).fetchone()
    except sqlite3.Error as error:
        raise CallerError(f"{journal} cannot be read: {error}.", status=503, code="journal_unavailable") from None
    return Seen(time.monotonic(), rows, failed, attempts, cost_nano, running)


def _held(journal: Path) -> bool:
    """Whether a process holds the job's lock."""
    try:
        descriptor = os.open(journal.with_name(journal.name + ".lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
