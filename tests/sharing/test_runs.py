"""Runs that share one call's work: who is served when someone leaves, is cut off or fails. Through the door: test_cache."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kit.loops import in_a_loop
from kit.records import event
from tollkeeper.core.call import Call, Presence, Reply, Sink
from tollkeeper.core.errors import GateError, UpstreamError
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Handler
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.sharing.runs import Run, Runs, is_final

KEY = Key(id="key_1", name="n", shown="tk-", digest=b"", created_at=0)


def new_call() -> Call:
    return Call(
        request_id="r",
        key=KEY,
        dialect=endpoint("chat/completions", "POST").dialect,
        method="POST",
        path="chat/completions",
        query=b"",
        headers=[],
        body=b"{}",
        model="m",
        streamed=False,
        accepted_at=0.0,
        presence=Presence(),
    )


class Work:
    """A handler that answers when told to, and records its attempt as the flow does."""

    def __init__(self, reply: Reply | None = None, error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.presence: Presence | None = None
        self.cut_off = False
        self._reply = reply or Reply(200, [(b"content-type", b"application/json")], b"{}")
        self._error = error

    async def __call__(self, call: Call) -> Reply:
        self.presence = call.presence
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cut_off = True
            raise
        call.events.append(event())
        if self._error is not None:
            raise self._error
        return self._reply


def begin(runs: Runs, work: Handler) -> tuple[Run, Call, list[bool]]:
    """A run, its call, and whether it was complete once it is over."""
    over: list[bool] = []
    call = new_call()
    return runs.begin(call, work, 1000, lambda run: over.append(run.complete)), call, over


def same(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*headers, (b"x-joined", b"yes")]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@in_a_loop
async def test_the_leader_and_who_joined_get_the_same() -> None:
    work, runs = Work(), Runs(1000)
    run, _, over = begin(runs, work)
    leading, joining = asyncio.ensure_future(run.lead()), asyncio.ensure_future(run.join(Presence(), same))
    await turns()
    assert not run.worked
    work.go.set()

    first, second = await leading, await joining

    assert second is not None
    assert (first.status, first.body) == (second.status, second.body) == (200, b"{}")
    assert (b"x-joined", b"yes") in second.headers
    assert (b"x-joined", b"yes") not in first.headers
    assert (over, run.over) == ([True], True)


@in_a_loop
async def test_the_work_is_told_that_its_client_left_when_the_last_one_has() -> None:
    work, runs = Work(), Runs(1000)
    call = new_call()
    leader, first, second = call.presence, Presence(), Presence()
    run = runs.begin(call, work, 1000, lambda _: None)
    tasks = [asyncio.ensure_future(run.join(presence, same)) for presence in (first, second)]
    await turns()

    assert work.presence is not None
    leader.leave()
    first.leave()
    first.leave()
    assert not work.presence.gone
    second.leave()
    assert work.presence.gone
    work.go.set()
    await asyncio.gather(*tasks, run.lead())


@in_a_loop
async def test_who_joined_goes_on_without_a_run_that_failed() -> None:
    work, runs = Work(error=UpstreamError("no")), Runs(1000)
    run, _, over = begin(runs, work)
    leading, joining = asyncio.ensure_future(run.lead()), asyncio.ensure_future(run.join(Presence(), same))
    await turns()
    work.go.set()

    assert await joining is None
    with pytest.raises(UpstreamError):
        await leading
    assert over == [False]
    assert not run.open


@in_a_loop
async def test_a_reply_that_would_not_do_for_others_is_the_leader_s_alone() -> None:
    work, runs = Work(Reply(503, [], b"busy")), Runs(1000)
    run, _, _ = begin(runs, work)
    leading, joining = asyncio.ensure_future(run.lead()), asyncio.ensure_future(run.join(Presence(), same))
    await turns()
    work.go.set()

    assert await joining is None
    assert (await leading).status == 503


@in_a_loop
async def test_work_is_cut_off_when_all_who_waited_were() -> None:
    work, runs = Work(), Runs(1000)
    run, _, _ = begin(runs, work)
    leading, joining = asyncio.ensure_future(run.lead()), asyncio.ensure_future(run.join(Presence(), same))
    await turns()

    leading.cancel()
    await turns()
    assert not work.cut_off
    joining.cancel()
    await turns()
    assert work.cut_off


@in_a_loop
async def test_who_waits_too_long_is_told_and_no_longer_counts() -> None:
    work, runs = Work(), Runs(1000)
    call = new_call()
    leader = call.presence
    run = runs.begin(call, work, 1000, lambda _: None)

    with pytest.raises(GateError) as late:
        await run.join(Presence(), same, seconds=0.01)

    assert (late.value.status, late.value.code) == (504, "deadline_exceeded")
    assert not work.cut_off
    leader.leave()
    assert work.presence is not None
    assert work.presence.gone
    work.go.set()
    await run.lead()


@in_a_loop
async def test_all_runs_are_cut_off_at_the_end_and_who_waits_is_told() -> None:
    work, runs = Work(), Runs(1000)
    run, _, over = begin(runs, work)
    leading, joining = asyncio.ensure_future(run.lead()), asyncio.ensure_future(run.join(Presence(), same))
    await turns()

    await runs.finish()

    assert work.cut_off
    with pytest.raises(GateError):
        await leading
    assert await joining is None
    assert over == [False]


class Ear:
    """A sink that is never full."""

    blocked = None

    def __init__(self) -> None:
        self.heard = b""

    def write(self, data: bytes) -> None:
        self.heard += data


def stream(step: asyncio.Event, error: Exception | None = None) -> Callable[[Sink], Any]:
    async def pour(sink: Sink) -> None:
        sink.write(b"one ")
        await step.wait()
        if error is not None:
            raise error
        sink.write(b"two")

    return pour


@pytest.mark.parametrize("error", [None, UpstreamError("cut")])
@in_a_loop
async def test_a_stream_goes_on_for_those_who_stay(error: UpstreamError | None) -> None:
    step = asyncio.Event()
    work, runs = Work(Reply(200, [], pour=stream(step, error))), Runs(1000)
    work.go.set()
    run, _, over = begin(runs, work)
    leader, joined = await run.lead(), await run.join(Presence(), same)
    assert leader.pour is not None
    assert joined is not None
    assert joined.pour is not None
    ears = [Ear(), Ear()]
    tasks = [asyncio.ensure_future(leader.pour(ears[0])), asyncio.ensure_future(joined.pour(ears[1]))]
    await turns()
    tasks[0].cancel()
    await turns()
    step.set()
    await turns()

    assert not run.task.cancelled()
    assert ears[1].heard == (b"one two" if error is None else b"one ")
    assert (tasks[1].exception() is None) == (error is None)
    assert over == [error is None]


@in_a_loop
async def test_it_is_over_only_when_the_last_record_is_written() -> None:
    work, runs = Work(), Runs(1000)
    run, call, over = begin(runs, work)
    call.under_way = 1
    told: list[Run] = []
    run.afterwards(told.append)
    work.go.set()
    await run.lead()
    call.end()
    ending = asyncio.ensure_future(run.end())
    await turns()

    assert (run.worked, run.over, over, told) == (True, False, [], [])
    call.recorded()
    assert (run.over, over, told) == (True, [True], [run])
    await ending
    run.afterwards(told.append)
    assert told == [run, run]


@pytest.mark.parametrize(
    ("allowed", "before", "after"),
    [(None, False, False), (100, True, False), (5000, False, False), (3, True, True)],
)
@in_a_loop
async def test_what_a_budget_cut_short_is_known_for_certain_at_the_end(
    allowed: int | None, before: bool, after: bool
) -> None:
    work, runs = Work(), Runs(1000)
    run, call, _ = begin(runs, work)
    if allowed is not None:
        call.notes += [("clamped", "max_tokens", 9000), ("clamped", "max_tokens", allowed)]
    assert run.cut_short(4096) == before
    work.go.set()
    await run.lead()

    assert run.cut_short(4096) == after  # the record says: 3 output tokens


@pytest.mark.parametrize("streamed", [False, True])
@in_a_loop
async def test_a_run_that_is_over_goes_without_the_collector(streamed: bool) -> None:
    step = asyncio.Event()
    step.set()
    work, runs = Work(Reply(200, [], pour=stream(step)) if streamed else None), Runs(1000)
    work.go.set()
    run, call, _ = begin(runs, work)
    presence = Presence()
    for reply in (await run.lead(), await run.join(presence, same)):
        assert reply is not None
        if reply.pour is not None:
            await reply.pour(Ear())
    call.end()
    gone = weakref.ref(run)
    gc.disable()
    try:
        del run, reply, presence
        await turns()

        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("status", "headers", "final"),
    [
        (200, [], True),
        (400, [], True),
        (422, [], True),
        (400, [(b"x-should-retry", b"true")], False),
        (408, [], False),
        (409, [], False),
        (429, [], False),
        (500, [], False),
    ],
)
def test_which_replies_asking_once_more_would_bring_again(
    status: int, headers: list[tuple[bytes, bytes]], final: bool
) -> None:
    assert is_final(Reply(status, headers)) == final
