"""A job's rows under every kind of answer: all end once, slots are kept, and what is hopeless stops."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from kit.simulated import ThreadlessLoop, simulate
from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.pacing import Pace
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.running import Running
from tollkeeper.bulk.shaping import Request, Shape
from tollkeeper.bulk.tries import Answer, Limits
from tollkeeper.core.errors import CallerError
from tollkeeper.wire.rate_headers import Allowance, RateHeaders

Provider = Callable[[Request, int], Awaitable[Answer]]
QUICK = Limits(concurrency=20, base=0.001, cap=0.004)


def well(request: Request, text: str = "fine") -> Answer:
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    return Answer(200, json.dumps(body).encode(), cost_nano=10, tokens_used=5)


def refused(status: int, code: str | None = None, **rates: float) -> Answer:
    body = {"error": {"message": "no", "type": "t", "code": code}}
    return Answer(status, json.dumps(body).encode(), rates=RateHeaders(**rates))


def prompts(count: int) -> Iterator[Record]:
    return (Record(index, index + 1, f"row {index}") for index in range(count))


class Job:
    """One job on a journal of its own; `rows` are its output lines by index."""

    def __init__(self, folder: Path, ask: Provider, limits: Limits = QUICK, rpm: float | None = None) -> None:
        self.folder = folder
        self.ask = ask
        self.limits = limits
        self.rpm = rpm
        self.most_under_way = 0

    async def run(self, records: Iterator[Record]) -> str | None:
        loop = asyncio.get_running_loop()
        journal = Journal(self.folder / "job.journal")
        rng = random.Random(7)

        async def ask(request: Request, attempt: int) -> Answer:
            self.most_under_way = max(self.most_under_way, running.under_way)
            return await self.ask(request, attempt)

        running = self.running = Running(
            records,
            Shape(model="m"),
            journal,
            journal.done(),
            self.limits,
            pace=Pace(rpm=self.rpm, tpm=None, now=loop.time(), uniform=rng.uniform),
            check=None,
            now=lambda: 1_767_225_600.0,
            monotonic=loop.time,
            uniform=rng.uniform,
        )
        running.ask = ask
        try:
            return await running.run()
        finally:
            self.rows: dict[int, Any] = {index: json.loads(detail) for index, detail in journal.details()}
            journal.close()


def test_every_row_is_answered_once_and_the_window_is_kept(tmp_path: Path) -> None:
    asked: Counter[int] = Counter()

    async def ask(request: Request, attempt: int) -> Answer:
        asked[request.index] += 1
        await asyncio.sleep(0.001)
        return well(request, f"answer {request.index}")

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(500)), ThreadlessLoop) is None
    assert sorted(job.rows) == list(range(500))
    assert all(row["output"] == f"answer {index}" and row["error"] is None for index, row in job.rows.items())
    assert set(asked.values()) == {1}
    assert job.most_under_way <= 20
    assert job.rows[7] == {
        "index": 7,
        "id": None,
        "output": "answer 7",
        "error": None,
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "cost_usd": "0.00000001",
        "attempts": 1,
        "finish_reason": "stop",
    }


def test_rows_that_nobody_else_can_join_are_written_at_once(tmp_path: Path) -> None:
    async def timed(job: Job) -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await job.run(prompts(100)) is None
        return loop.time() - before

    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(0.001)
        return well(request)

    # To gather company for each of these rows would take 0.003 seconds a time.
    assert simulate(timed(Job(tmp_path, ask, Limits(concurrency=1))), ThreadlessLoop) < 0.3


def test_failures_that_pass_are_tried_again_and_those_that_stay_are_explained(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        if request.index % 10 == 3:
            return refused(400, "invalid_value")
        if request.index % 10 == 5:
            return refused(500)
        if request.index % 2 == 0 and attempt < 3:
            return refused(429, retry_after=0.002) if attempt == 1 else refused(503)
        return well(request)

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(100)), ThreadlessLoop) is None
    assert len(job.rows) == 100
    for index, row in job.rows.items():
        if index % 10 == 3:
            assert (row["error"]["code"], row["error"]["http_status"], row["attempts"]) == ("invalid_value", 400, 1)
        elif index % 10 == 5:
            assert (row["error"]["http_status"], row["attempts"]) == (500, QUICK.attempts)
        else:
            assert row["error"] is None
    assert job.running.counts.well == 80
    assert job.running.counts.failed == 20


def test_a_wrong_key_stops_the_job_and_loses_no_row(tmp_path: Path) -> None:
    asked = 0

    async def ask(request: Request, attempt: int) -> Answer:
        nonlocal asked
        asked += 1
        return refused(401, "invalid_api_key")

    job = Job(tmp_path, ask)
    why = simulate(job.run(prompts(10_000)), ThreadlessLoop)
    assert why == "invalid_api_key: no"
    assert job.rows == {}
    assert 20 <= asked <= 20 + QUICK.concurrency

    async def mended(request: Request, attempt: int) -> Answer:
        return well(request)

    again = Job(tmp_path, mended)
    assert simulate(again.run(prompts(300)), ThreadlessLoop) is None
    assert len(again.rows) == 300


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_that_only_some_rows_meet_is_their_own(tmp_path: Path, status: int) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(0.01)
        return refused(status, "not_yours") if request.index % 40 == 7 else well(request)

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(400)), ThreadlessLoop) is None
    failed = {index: row["error"]["http_status"] for index, row in job.rows.items() if row["error"] is not None}
    assert failed == {index: status for index in range(400) if index % 40 == 7}
    assert len(job.rows) == 400


@pytest.mark.parametrize("status", [403, 404])
def test_the_last_rows_may_name_what_is_not_there_or_not_theirs(tmp_path: Path, status: int) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(0.01)
        return refused(status, "no") if request.index >= 395 else well(request)

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(400)), ThreadlessLoop) is None
    assert [index for index, row in job.rows.items() if row["error"] is not None] == list(range(395, 400))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_where_nobody_is_answered_any_more_what_is_refused_stays_unanswered(tmp_path: Path, status: int) -> None:
    asked = 0

    async def ask(request: Request, attempt: int) -> Answer:
        nonlocal asked
        asked += 1
        answer = well(request) if asked <= 300 else refused(status)
        await asyncio.sleep(0.01)
        return answer

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(400)), ThreadlessLoop) is not None
    assert len(job.rows) == 300
    assert all(row["error"] is None for row in job.rows.values())


def test_a_job_of_which_most_rows_fail_stops(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return refused(422, "unprocessable") if request.index % 3 else well(request)

    job = Job(tmp_path, ask)
    why = simulate(job.run(prompts(10_000)), ThreadlessLoop)
    assert why is not None
    assert "more than half of the last 200 rows failed" in why
    assert 200 <= len(job.rows) <= 250


def test_rows_that_cannot_be_asked_are_explained_and_others_go_on(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return well(request)

    records = [Record(0, 1, "fine"), Record(1, 2, None, "line 2 is not JSON"), Record(2, 3, {"id": "c", "colour": 1})]
    job = Job(tmp_path, ask)
    assert simulate(job.run(iter(records)), ThreadlessLoop) is None
    assert job.rows[1]["error"]["message"] == "line 2 is not JSON"
    assert job.rows[2]["id"] == "c"
    assert "neither 'prompt' nor 'messages'" in job.rows[2]["error"]["message"]
    assert job.rows[0]["error"] is None


def test_ten_thousand_broken_rows_do_not_hold_up_the_loop_or_memory(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return well(request)

    job = Job(tmp_path, ask)
    records = (Record(index, index, None, "broken") if index else Record(0, 0, "fine") for index in range(10_001))
    assert simulate(job.run(records), ThreadlessLoop) is None
    assert len(job.rows) == 10_001


def test_a_row_that_stalls_is_cut_and_does_not_hold_the_others(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        if request.index == 0 and attempt == 1:
            await asyncio.sleep(60)
        return well(request)

    job = Job(tmp_path, ask, Limits(concurrency=5, timeout=0.3, base=0.001))
    assert simulate(job.run(prompts(200)), ThreadlessLoop) is None
    assert job.rows[0]["attempts"] == 2
    assert job.rows[0]["error"] is None


def test_rows_wait_without_a_slot(tmp_path: Path) -> None:
    done: list[int] = []

    async def ask(request: Request, attempt: int) -> Answer:
        if request.index < 5 and attempt == 1:
            return refused(503, retry_after=20.0)
        done.append(request.index)
        return well(request)

    job = Job(tmp_path, ask, Limits(concurrency=5, base=0.001))
    assert simulate(job.run(prompts(100)), ThreadlessLoop) is None
    assert set(done[-5:]) == {0, 1, 2, 3, 4}


def test_the_last_rows_wait_no_longer_for_their_bad_luck_where_others_fare_well(tmp_path: Path) -> None:
    draw = random.Random(3)

    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(0.2)
        return refused(500) if draw.random() < 0.46 else well(request)

    async def timed() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await job.run(prompts(300))
        return loop.time() - began

    job = Job(tmp_path, ask, Limits(concurrency=100, attempts=30))
    assert simulate(timed(), ThreadlessLoop) < 12.0
    assert all(row["error"] is None for row in job.rows.values())


def test_the_last_rows_wait_as_long_as_ever_where_nothing_goes_well_or_the_provider_says_so(tmp_path: Path) -> None:
    at: dict[int, list[float]] = {}

    async def ask(request: Request, attempt: int) -> Answer:
        times = at.setdefault(request.index, [])
        times.append(asyncio.get_running_loop().time())
        if request.index == 0 and len(times) == 1:
            return refused(503, retry_after=40.0)
        return well(request) if request.index < 100 else refused(500)

    job = Job(tmp_path, ask, Limits(concurrency=20))
    simulate(job.run(prompts(100)), ThreadlessLoop)
    assert at[0][1] - at[0][0] >= 40.0
    (tmp_path / "ill").mkdir()
    ill = Job(tmp_path / "ill", ask, Limits(concurrency=20))
    simulate(ill.run(Record(index, index + 1, "row") for index in range(100, 105)), ThreadlessLoop)
    waited = [times[-1] - times[0] for index, times in at.items() if index >= 100]
    assert sum(waited) / 5 > 15.0


def test_on_a_bad_day_a_job_uses_nearly_all_that_the_provider_allows(tmp_path: Path) -> None:
    draw, rate = random.Random(1), 20.0
    burst = level = 6 * rate
    admitted, began, seen_at = 0, 0.0, 0.0

    async def ask(request: Request, attempt: int) -> Answer:
        nonlocal level, admitted, began, seen_at
        now = asyncio.get_running_loop().time()
        began = began or now
        level, seen_at = min(burst, level + (now - (seen_at or now)) * rate), now
        told = RateHeaders(requests=Allowance(rate * 60, max(level - 1, 0.0), (burst - level) / rate))
        if level < 1:
            return Answer(429, b"", rates=told)
        level -= 1
        admitted += 1
        drawn = draw.random()
        if drawn < 0.30:
            return Answer(429, b"", rates=told)
        await asyncio.sleep(3600.0 if drawn < 0.35 else 0.2)
        if drawn < 0.46:
            return Answer(500 if drawn < 0.45 else 200, b"<html>", rates=told)
        return msgspec.structs.replace(well(request), rates=told)

    async def timed() -> float:
        await job.run(prompts(800))
        return asyncio.get_running_loop().time() - began

    job = Job(tmp_path, ask, Limits(concurrency=100, timeout=5.0, attempts=20))
    took = simulate(timed(), ThreadlessLoop)
    assert all(row["error"] is None for row in job.rows.values())
    assert admitted >= 0.85 * (burst + took * rate)


def test_rows_that_are_due_again_at_once_come_again_on_uvloop_too(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        for seconds in (0.0, 0.0002):  # what rows that wait for so long ask for in one turn of the loop
            job.running._come_again(seconds)
        return well(request)

    job = Job(tmp_path, ask)
    assert uvloop.run(job.run(prompts(20))) is None
    assert len(job.rows) == 20


def test_a_defect_in_a_row_ends_the_job_in_place_of_a_wait_without_end(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        raise LookupError("a defect")

    with pytest.raises(LookupError, match="a defect"):
        simulate(Job(tmp_path, ask).run(prompts(3)), ThreadlessLoop)


def test_rows_in_memory_are_bounded_when_all_fail(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return refused(503, retry_after=60.0)

    async def run() -> int:
        job = Job(tmp_path, ask)
        running = asyncio.create_task(job.run(prompts(100_000)))
        while job.__dict__.get("running") is None or job.running.counts.attempts < 1000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        drawn = job.running.counts.drawn
        job.running.abandon()
        await running
        return drawn

    assert simulate(run(), ThreadlessLoop) <= 1000 + 40


@pytest.mark.parametrize("moments", range(6))
def test_a_job_that_is_cut_in_any_moment_ends(tmp_path: Path, moments: int) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        await asyncio.sleep(0 if request.index % 2 else 0.01)
        return well(request)

    async def run() -> str | None:
        job = Job(tmp_path, ask)
        running = asyncio.get_running_loop().create_task(job.run(prompts(1000)))
        for _ in range(1 + moments):
            await asyncio.sleep(0)
        job.running.abandon()
        return await running

    assert simulate(run(), ThreadlessLoop) == "interrupted"


def test_the_users_rate_is_kept(tmp_path: Path) -> None:
    times: list[float] = []

    async def ask(request: Request, attempt: int) -> Answer:
        times.append(asyncio.get_running_loop().time())
        return well(request)

    job = Job(tmp_path, ask, rpm=6000)  # 100 a second
    assert simulate(job.run(prompts(150)), ThreadlessLoop) is None
    for first, last in zip(times, times[120:], strict=False):
        assert last - first > 0.15  # 120 starts less a burst of 100 need 0.2 s


def test_an_answer_that_is_not_one_is_asked_for_again_a_few_times(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return Answer(200, b"<html>" if attempt < 3 or request.index == 1 else well(request).body)

    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(2)), ThreadlessLoop) is None
    assert job.rows[0]["error"] is None
    assert job.rows[1]["error"]["code"] == "bad_answer"
    assert job.rows[1]["attempts"] == QUICK.bad_answers


def test_ended_rows_are_not_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    async def ask(request: Request, attempt: int) -> Answer:
        asked.append(request.index)
        return well(request)

    assert simulate(Job(tmp_path, ask).run(prompts(50)), ThreadlessLoop) is None
    asked.clear()
    job = Job(tmp_path, ask)
    assert simulate(job.run(prompts(60)), ThreadlessLoop) is None
    assert sorted(asked) == list(range(50, 60))
    assert len(job.rows) == 60


def test_two_cannot_run_one_job(tmp_path: Path) -> None:
    async def run() -> None:
        first = Journal(tmp_path / "job.journal")
        with pytest.raises(CallerError, match="Another process runs this job"):
            Journal(tmp_path / "job.journal")
        first.close()

    simulate(run(), ThreadlessLoop)


def test_too_many_errors_stop_the_job(tmp_path: Path) -> None:
    async def ask(request: Request, attempt: int) -> Answer:
        return refused(400, "bad") if request.index % 5 == 0 else well(request)

    job = Job(tmp_path, ask, Limits(concurrency=4, max_errors=3))
    assert simulate(job.run(prompts(1000)), ThreadlessLoop) == "more than 3 rows failed"
    assert len(job.rows) < 60
