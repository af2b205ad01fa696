"""A gate whose disk fails under load: paid work is refused while it does, nothing is lost, and it recovers by itself."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.disks import Disk, compiled
from kit.gate import GateProcess, request, running_gate
from kit.scripted import ScriptedUpstream
from ledger.mixed import Count, counting_upstream, many

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[retry]
retries = 0
[health]
failures = 1000000
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
"""
ASK = {"model": "m", "messages": [{"role": "user", "content": "plain 9 x"}]}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    library = compiled(tmp_path)
    if library is None:
        pytest.skip("no gcc, or not Linux")
    made = Disk(library, tmp_path)
    del made.environment["DISK_LOG"]
    return made


@pytest.fixture
def count() -> Count:
    return Count()


@pytest.fixture
def gate(disk: Disk, count: Count, tmp_path: Path) -> Iterator[GateProcess]:
    with (
        ScriptedUpstream(counting_upstream(count, "sk-x")) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url), disk.environment) as running,
    ):
        yield running


def _load(gate: GateProcess, key: str, first: int, calls: int) -> threading.Thread:
    load = threading.Thread(target=lambda: asyncio.run(many(gate.port, key, first, first + calls, first)))
    load.start()
    return load


def _ready(gate: GateProcess) -> int:
    return request("GET", gate.url + "/readyz", {})[0]


def _becomes(gate: GateProcess, status: int) -> bool:
    until = time.monotonic() + 30
    while _ready(gate) != status:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _check(gate: GateProcess, count: Count) -> None:
    """Every call that the upstream saw has one event, every event was seen, what was reported is as it was reported."""
    events = gate.events_once(len(count.seen))
    reported = [event for event in events if event["quality"] == "reported"]
    assert len(events) == len(count.seen)
    assert len(reported) == len(count.reported)
    for side, name in enumerate(("input_tokens", "output_tokens")):
        assert sum(event[name] for event in reported) == sum(pair[side] for pair in count.reported.values())
    verified = gate.command("verify")
    assert (verified["ok"], verified["open_holds"], verified["events"]) == (True, 0, len(events)), verified


@pytest.mark.row(66)
@pytest.mark.parametrize(("failure", "said"), [("sync", "Input/output error"), ("write", "")])
def test_a_disk_that_fails_for_a_while_stops_paid_work_and_loses_nothing(
    gate: GateProcess, disk: Disk, count: Count, failure: str, said: str
) -> None:
    key = gate.new_key()
    load = _load(gate, key, 100, 150)
    while len(count.seen) < 40:
        time.sleep(0.005)
    disk.fail(failure)
    load.join(60)
    assert _becomes(gate, 503)
    seen = len(count.seen)
    for _ in range(3):
        status, headers, body = gate.call("POST", "/v1/chat/completions", key, ASK)
        assert (status, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable")
        assert headers["retry-after"] == "5"
    assert request("GET", gate.url + "/healthz", {})[0] == 200
    assert len(count.seen) == seen < 150
    disk.work()
    assert _becomes(gate, 200)

    assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
    _check(gate, count)
    lines = [json.loads(line) for line in gate.log().splitlines()]
    told = [line["event"] for line in lines if line["event"].startswith("ledger")]
    assert told == ["ledger_trouble", "ledger_recovered"]
    assert said in next(line["reason"] for line in lines if line["event"] == "ledger_trouble")
    assert gate.stop() == 0


@pytest.mark.row(68)
@pytest.mark.row(66)
def test_single_failed_syncs_under_load_lose_nothing(gate: GateProcess, disk: Disk, count: Count) -> None:
    key = gate.new_key()
    load = _load(gate, key, 1000, 250)
    for seen in (30, 60, 90):
        while len(count.seen) < seen and load.is_alive():
            time.sleep(0.005)
        disk.fail("once")
    load.join(60)
    assert _becomes(gate, 200)

    assert gate.log().count("ledger_trouble") >= 1
    _check(gate, count)
    assert gate.stop() == 0


@pytest.mark.row(66)
def test_a_gate_that_begins_on_a_disk_that_fails_refuses_paid_work_until_it_works(
    gate: GateProcess, disk: Disk, count: Count
) -> None:
    key = gate.new_key()
    assert gate.call("POST", "/v1/chat/completions", key, ASK)[0] == 200
    assert gate.stop() == 0
    disk.fail("write")
    gate.start()
    for _ in range(3):
        status, _, body = gate.call("POST", "/v1/chat/completions", key, ASK)
        assert (status, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable")
    assert _ready(gate) == 503
    assert len(count.seen) == 1
    disk.work()
    assert _becomes(gate, 200)

    other = {"model": "m", "messages": [{"role": "user", "content": "plain 10 x"}]}
    assert gate.call("POST", "/v1/chat/completions", key, other)[0] == 200
    _check(gate, count)
    assert gate.stop() == 0
