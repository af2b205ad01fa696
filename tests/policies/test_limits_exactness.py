"""A limit is exact: as many a minute as it says, whatever is offered and whatever the wall clock does."""

import asyncio
import json
import random
import shutil
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.calls import call, key
from kit.gate import running_gate
from kit.records import event
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.simulated import simulate
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.policies.limits import LimitRules, Limits
from tollkeeper.stores.memory.limits import MemoryLimiter

MINUTES = 3
OFFERED = 10_000


def evenly() -> Iterator[float]:
    """Moments, in seconds, of 10 000 calls a minute."""
    yield from (number * 60 / OFFERED for number in range(OFFERED * MINUTES))


def at_random() -> Iterator[float]:
    chance = random.Random(77)
    at = 0.0
    while at < 60 * MINUTES:
        yield at
        at += chance.expovariate(OFFERED / 60)


def most_in_a_minute(moments: list[float]) -> int:
    """Of all minutes that begin with one of them."""
    return max(bisect_left(moments, at + 60) - number for number, at in enumerate(moments))


ATTEMPT = event()


async def answered(asked: Call) -> Reply:
    asked.events.append(ATTEMPT)
    return Reply(200, [])


async def admitted(moments: Iterator[float], *keys_of_calls: Key, rules: LimitRules) -> dict[str, list[float]]:
    """When each key's calls were admitted, of calls that come in these moments by each key in turn."""
    loop = asyncio.get_running_loop()
    limits = Limits(rules, MemoryLimiter(loop.time), loop.time)
    began = loop.time()
    passed: dict[str, list[float]] = {one.id: [] for one in keys_of_calls}
    calls: set[asyncio.Task[None]] = set()
    refused: set[str | None] = set()

    async def one(by: Key) -> None:
        asked = call(by, accepted_at=loop.time())
        try:
            await limits(asked, answered)
        except CallerError as error:
            refused.add(error.code)
        else:
            passed[by.id].append(loop.time() - began)
        asked.end()

    for number, at in enumerate(moments):
        if at > loop.time() - began:
            await asyncio.sleep(began + at - loop.time())
        task = loop.create_task(one(keys_of_calls[number % len(keys_of_calls)]))
        calls.add(task)
        task.add_done_callback(calls.discard)
    while calls:
        await asyncio.wait(calls)
    assert refused == {"rate_limit_exceeded"}
    return passed


@pytest.mark.row(77)
@pytest.mark.parametrize("moments", [evenly, at_random])
def test_a_thousand_a_minute_offered_ten_thousand_admits_a_thousand_in_every_minute(moments: object) -> None:
    limited = key("key_1", "1000 requests/minute")

    passed = simulate(admitted(moments(), limited, rules=LimitRules()))["key_1"]

    by_minute = [sum(minute * 60 <= at < minute * 60 + 60 for at in passed) for minute in range(MINUTES)]
    assert all(990 <= count <= 1010 for count in by_minute), by_minute
    assert most_in_a_minute(passed) <= 1010


@pytest.mark.row(77)
def test_keys_that_wait_for_their_turns_share_a_limit_evenly_and_use_all_of_it() -> None:
    def in_bursts() -> Iterator[float]:
        for second in range(60 * MINUTES):
            yield from [float(second)] * (OFFERED // 60)

    rules = LimitRules(all=key("x", "1000 requests/minute").limits, wait=2.0, queue=60)
    three = [key(name) for name in ("key_1", "key_2", "key_3")]

    passed = simulate(admitted(in_bursts(), *three, rules=rules))

    everybodys = sorted(at for moments in passed.values() for at in moments)
    by_minute = [sum(minute * 60 <= at < minute * 60 + 60 for at in everybodys) for minute in range(MINUTES)]
    assert all(980 <= count <= 1010 for count in by_minute), by_minute
    assert most_in_a_minute(everybodys) <= 1010
    counts = [len(moments) for moments in passed.values()]
    assert max(counts) - min(counts) <= 0.01 * sum(counts)


CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.mark.long
@pytest.mark.row(77)
def test_through_the_door_a_thousand_of_ten_thousand_pass_in_any_minute(tmp_path: Path) -> None:
    seconds, connections = 64, 8
    with (
        ScriptedUpstream(json_answer(200, chat_answer())) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate,
    ):
        secret = gate.new_key(limits=["1000 requests/minute"])
        request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {secret}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
        ).encode() + BODY
        passed: list[float] = []
        refused = 0

        async def caller(number: int, began: float) -> None:
            nonlocal refused
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            for turn in range(seconds * OFFERED // 60 // connections):
                due = began + (turn * connections + number) * 60 / OFFERED
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                if head.startswith(b"HTTP/1.1 200"):
                    passed.append(time.monotonic() - began)
                else:
                    assert head.startswith(b"HTTP/1.1 429"), head
                    refused += 1
            writer.close()
            await writer.wait_closed()

        async def offer() -> None:
            began = time.monotonic()
            await asyncio.gather(*(caller(number, began) for number in range(connections)))

        asyncio.run(offer())

    offered = len(passed) + refused
    assert offered >= 0.99 * OFFERED * seconds / 60
    assert len(upstream.requests) == len(passed)
    assert len(passed) <= 10 + 1000 * (seconds + 1) / 60
    passed.sort()
    for start in (1.0, 2.0, 3.0):
        count = bisect_left(passed, start + 60) - bisect_left(passed, start)
        assert 990 <= count <= 1010, count


FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.row(70)
@pytest.mark.skipif(FAKETIME is None or shutil.which("faketime") is None, reason="no libfaketime here")
def test_jumps_of_the_wall_clock_neither_give_nor_take(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with (
        ScriptedUpstream(json_answer(200, chat_answer())) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url), faked) as gate,
    ):
        secret = gate.new_key(limits=["2 requests/hour"])

        def ask() -> tuple[int, int]:
            status, headers, _ = gate.call("POST", "/v1/chat/completions", secret, BODY)
            return status, int(headers.get("retry-after", "0"))

        def hour() -> str:
            return gate.call("GET", "/healthz", secret)[1]["date"][17:19]

        assert [ask()[0] for _ in range(2)] == [200, 200]
        for jump in ("+3h", "-3h"):
            before = hour()
            clock.write_text(f"{jump}\n")
            while hour() == before:  # the door makes its date once a second
                time.sleep(0.02)
            status, seconds = ask()
            assert status == 429
            assert 1780 < seconds <= 1800
