"""What a job shows of itself: the same numbers to people and machines, at a price that does not grow with its rows."""

import io
import json
import os
import pty
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from tollkeeper.bulk.concurrency import Concurrency
from tollkeeper.bulk.ending import Counts
from tollkeeper.bulk.progress import EVERY, Progress, span


class Running:
    """A job that has come far."""

    def __init__(self, rows: int) -> None:
        self.counts = Counts()
        self.counts.well, self.counts.failed = rows - 7, 7
        self.counts.attempts, self.counts.tokens, self.counts.cost_nano = rows + 9, rows * 12, rows * 15_000
        self.counts.errors.update({"timeout": 4, "upstream_500": 5})
        self.under_way = 40
        self.concurrency = Concurrency(100)


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    os.set_blocking(theirs, False)  # nobody reads it: what does not fit is lost
    with os.fdopen(theirs, "w") as stream:
        yield stream
    os.close(ours)


def _look(progress: Progress) -> float:
    """CPU seconds of one."""
    began = time.process_time()
    progress.look()
    return time.process_time() - began


@pytest.mark.row(97)
@pytest.mark.parametrize("json", [True, False], ids=["JSON", "plain"])
def test_a_look_at_a_million_rows_takes_less_than_a_hundredth_of_the_time_between_two(json: bool) -> None:
    progress = Progress(Running(1_000_000), 0, 2_000_000, json=json, stream=io.StringIO())

    assert min(_look(progress) for _ in range(20)) < EVERY / 100


@pytest.mark.row(97)
def test_a_look_in_a_terminal_costs_no_more(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    progress = Progress(Running(1_000_000), 0, 2_000_000, json=False, stream=terminal)
    assert progress._live is not None
    try:
        assert min(_look(progress) for _ in range(20)) < EVERY / 100
    finally:
        progress.end()


def test_machines_get_every_number_and_exact_money() -> None:
    stream = io.StringIO()
    Progress(Running(1000), 500, 3000, json=True, stream=stream).look()
    said = json.loads(stream.getvalue())

    assert {name: said[name] for name in ("event", "rows", "total", "failed", "under_way", "attempts", "errors")} == {
        "event": "progress",
        "rows": 1500,
        "total": 3000,
        "failed": 7,
        "under_way": 40,
        "attempts": 1009,
        "errors": {"timeout": 4, "upstream_500": 5},
    }
    assert (said["cost_usd"], said["cost_expected_usd"]) == ("0.015", "0.0375")


class _Gone(io.StringIO):
    """Whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_where_nobody_reads_any_more_it_falls_silent() -> None:
    progress = Progress(Running(10), 0, None, json=True, stream=_Gone())

    progress.look()
    progress.end()


@pytest.mark.parametrize(("seconds", "said"), [(12.9, "12 s"), (130, "2 min 10 s"), (11_100, "3 h 5 min")])
def test_a_span_of_time_is_said_for_people(seconds: float, said: str) -> None:
    assert span(seconds) == said
