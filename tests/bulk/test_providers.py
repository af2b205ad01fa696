"""Jobs against providers with limits and bad days, in simulated time: how near they come to what is possible."""

import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.simulated import ThreadlessLoop, simulate
from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.pacing import Pace
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.running import Running
from tollkeeper.bulk.shaping import Request, Shape
from tollkeeper.bulk.tries import Answer, Limits
from tollkeeper.wire import rate_headers

GOOD = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]}
).encode()


class Provider:
    """Allows `per_minute` requests, a minute's worth at once, and is well or ill as `mood` says of each that it admits."""

    def __init__(
        self,
        per_minute: float,
        *,
        tells: bool,
        retry_after: bool = False,
        mood: Callable[[random.Random], str] = lambda draw: "well",
        seconds: float = 0.5,
    ) -> None:
        self.rate = per_minute / 60
        self.size = per_minute
        self.level = per_minute
        self.at = 0.0
        self.tells = tells
        self.retry_after = retry_after
        self.mood = mood
        self.seconds = seconds
        self.draw = random.Random(600)
        self.asked = 0
        self.admitted = 0

    async def __call__(self, request: Request, attempt: int) -> Answer:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.asked += 1
        self.level = min(self.size, self.level + (now - (self.at or now)) * self.rate)
        self.at = now
        headers: list[tuple[bytes, bytes]] = []
        if self.level < 1:
            if self.retry_after:
                headers.append((b"retry-after", b"%.1f" % ((1 - self.level) / self.rate)))
            return self._answer(429, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', headers)
        self.level -= 1
        self.admitted += 1
        if self.tells:
            headers += [
                (b"x-ratelimit-limit-requests", b"%d" % self.size),
                (b"x-ratelimit-remaining-requests", b"%d" % self.level),
                (b"x-ratelimit-reset-requests", b"%.3fs" % ((self.size - self.level) / self.rate)),
            ]
        mood = self.mood(self.draw)
        if mood == "refuses":
            return self._answer(429, b"{}", headers)
        if mood == "stalls":
            await asyncio.sleep(3600)
        await asyncio.sleep(self.seconds * self.draw.uniform(0.6, 1.4))
        if mood == "fails":
            return self._answer(500, b"oops", headers)
        return self._answer(200, b"<html>" if mood == "garbage" else GOOD, headers)

    @staticmethod
    def _answer(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> Answer:
        return Answer(
            status, body, rates=rate_headers.read(headers, 1_800_000_000.0) if headers else rate_headers.NOTHING
        )


def run(folder: Path, provider: Any, rows: int, limits: Limits) -> tuple[float, Running, dict[int, Any]]:
    """Simulated seconds, the run, and its rows."""

    async def job() -> tuple[float, Running, dict[int, Any]]:
        loop = asyncio.get_running_loop()
        memory = Path("/dev/shm")  # a disk that syncs at once, where there is one: time is simulated
        place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else folder))
        journal = Journal(place / "job.journal")
        draw = random.Random(1)
        records: Iterator[Record] = (Record(index, index + 1, f"row {index}") for index in range(rows))
        running = Running(
            records,
            Shape(model="m"),
            journal,
            journal.done(),
            limits,
            pace=Pace(rpm=None, tpm=None, now=loop.time(), uniform=draw.uniform),
            check=None,
            now=loop.time,
            monotonic=loop.time,
            uniform=draw.uniform,
        )
        running.ask = provider
        began = loop.time()
        try:
            why = await running.run()
            assert why is None, why
            return loop.time() - began, running, {index: json.loads(detail) for index, detail in journal.details()}
        finally:
            journal.close()
            shutil.rmtree(place)

    return simulate(job(), ThreadlessLoop)


@pytest.mark.parametrize(("tells", "retry_after"), [(True, False), (False, True), (False, False)])
def test_six_hundred_requests_a_minute_are_used_to_within_three_percent(
    tmp_path: Path, tells: bool, retry_after: bool
) -> None:
    provider = Provider(600, tells=tells, retry_after=retry_after)
    took, _, rows = run(tmp_path, provider, 3600, Limits())
    ideal = (3600 - 600) / 10
    assert all(row["error"] is None for row in rows.values())
    assert took <= 1.03 * ideal
    assert provider.asked <= (3600 if tells else 2.5 * 3600)


def _bad_day(draw: random.Random) -> str:
    found = draw.random()
    for mood, share in (("refuses", 0.3), ("fails", 0.1), ("stalls", 0.05), ("garbage", 0.01)):
        if found < share:
            return mood
        found -= share
    return "well"


@pytest.mark.row(87)
def test_on_a_providers_bad_day_every_row_is_answered_and_little_of_what_it_allows_is_left_unused(
    tmp_path: Path,
) -> None:
    provider = Provider(1200, tells=True, mood=_bad_day)
    took, _, rows = run(tmp_path, provider, 12_000, Limits(timeout=10.0))
    assert len(rows) == 12_000
    assert all(row["error"] is None for row in rows.values())
    assert provider.admitted >= 0.85 * (1200 + took * 20)


@pytest.mark.row(90)
def test_a_row_that_takes_ten_minutes_holds_up_no_other_and_keeps_nothing_in_memory(tmp_path: Path) -> None:
    ended: list[float] = []

    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(600.0 if request.index == 3 else 0.1)
        ended.append(asyncio.get_running_loop().time())
        return Answer(200, GOOD)

    took, running, rows = run(tmp_path, ask, 3000, Limits(concurrency=10))
    assert len(rows) == 3000
    assert 600 <= took < 601
    assert ended[-2] < ended[-1] - 500
    assert len(running._waiting) == 0
