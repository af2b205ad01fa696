"""The watchdog: whatever holds the event loop up is noticed, counted, and named with its place."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.vitals import becomes
from tollkeeper.telemetry.watchdog import Watchdog


def _watched(
    test: Callable[[Watchdog], Awaitable[None]], longest: float = 0.1, between: float = 0
) -> list[tuple[int, str]]:
    """What a watchdog has to say of a loop that runs `test`."""
    said: list[tuple[int, str]] = []

    async def go() -> None:
        watchdog = Watchdog(
            longest, lambda ms, where: said.append((ms, where)), time.monotonic, between_lines=between, after=0
        )
        watchdog.start()
        await asyncio.sleep(0.02)
        await test(watchdog)
        watchdog.stop()

    asyncio.run(go())
    return said


def _loop(gate: GateProcess) -> dict[str, float]:
    """The gate's metrics of its loop."""
    text = gate.operator("GET", "/metrics")[2].decode()
    lines = [line.split(" ") for line in text.splitlines() if line.startswith("tollkeeper_loop_")]
    return {name: float(value) for name, value in lines}


def _that_blocks(seconds: float) -> None:
    time.sleep(seconds)


@pytest.mark.row(99)
def test_a_call_that_blocks_the_loop_is_named_with_its_place() -> None:
    async def test(watchdog: Watchdog) -> None:
        await asyncio.sleep(0.12)
        _that_blocks(0.3)
        await asyncio.sleep(0.12)
        assert watchdog.blocks >= 1
        assert watchdog.lag > 0.2

    [(ms, where)] = [(ms, where) for ms, where in _watched(test) if "_that_blocks" in where]

    assert ms > 290
    assert where.startswith("test_watchdog.py:")
    assert "_that_blocks < test_watchdog.py:" in where


@pytest.mark.row(99)
def test_computing_without_end_is_noticed_as_well_as_waiting() -> None:
    def compute() -> int:
        until, number = time.monotonic() + 0.3, 0
        while time.monotonic() < until:
            number += 1
        return number

    async def test(watchdog: Watchdog) -> None:
        compute()
        await asyncio.sleep(0.12)

    assert any(" compute < " in where for _, where in _watched(test))


def test_a_loop_that_is_free_is_not_complained_of() -> None:
    async def test(watchdog: Watchdog) -> None:
        for _ in range(20):
            await asyncio.sleep(0.02)
        assert watchdog.blocks == 0

    assert _watched(test, longest=10.0) == []


def test_many_blocks_are_counted_and_said_once_a_second() -> None:
    async def test(watchdog: Watchdog) -> None:
        for _ in range(3):
            _that_blocks(0.15)
            await asyncio.sleep(0.08)
        assert watchdog.blocks >= 3

    assert len(_watched(test, between=60)) == 1


@pytest.mark.row(99)
def test_a_gate_that_was_held_up_says_so_in_log_and_metrics_and_serves_on(tmp_path: Path) -> None:
    with running_gate(tmp_path, "", {}, "--demo") as gate:
        assert becomes(lambda: _loop(gate)["tollkeeper_loop_lag_seconds"] > 0)  # it has begun to watch
        gate.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        gate.process.send_signal(signal.SIGCONT)

        assert becomes(lambda: '"event":"loop_blocked"' in gate.log())
        [line, *_] = [line for line in map(json.loads, gate.log().splitlines()) if line["event"] == "loop_blocked"]
        assert line["ms"] > 400
        assert _loop(gate)["tollkeeper_loop_blocks_total"] >= 1
        assert _loop(gate)["tollkeeper_loop_lag_seconds"] > 0.3
        body = {"model": "demo", "messages": []}
        assert gate.call("POST", "/v1/chat/completions", gate.about["demo_key"], body)[0] == 200
