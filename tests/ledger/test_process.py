"""The process that keeps the ledger: told to end under load, its clock set, a second one, thousands of open holds."""

import asyncio
import glob
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.copies import run
from kit.disks import break_table, needs_to_know_where
from kit.gate import GateProcess, running_gate
from kit.records import hold, write
from kit.scripted import ScriptedUpstream
from ledger.mixed import Count, call, counting_upstream, many

CONFIG = """
[server]
shutdown_seconds = 20
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[retry]
retries = 0
[health]
failures = 1000000
[limits]
each_key = ["300 requests/hour burst 300"]
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
"""
FAKETIME = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
DAY = 86_400_000


@pytest.fixture
def count() -> Count:
    return Count()


@pytest.fixture
def upstream(count: Count) -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(counting_upstream(count, "sk-x")) as scripted:
        yield scripted


def _load(gate: GateProcess, key: str, first: int, calls: int) -> threading.Thread:
    load = threading.Thread(target=lambda: asyncio.run(many(gate.port, key, first, first + calls, first)))
    load.start()
    return load


def _check(gate: GateProcess, count: Count) -> list[dict[str, Any]]:
    """Every call that the upstream saw has one event, and what was reported is as it was reported."""
    events: list[dict[str, Any]] = gate.command("events", "--limit", "100000")
    reported = [event for event in events if event["quality"] == "reported"]
    assert len(events) == len(count.seen)
    assert len(reported) == len(count.reported)
    for side, name in enumerate(("input_tokens", "output_tokens")):
        assert sum(event[name] for event in reported) == sum(pair[side] for pair in count.reported.values())
    verified = gate.command("verify")
    assert (verified["ok"], verified["open_holds"], verified["events"]) == (True, 0, len(events)), verified
    return events


@pytest.mark.row(76)
def test_told_to_end_under_load_it_lets_calls_end_loses_nothing_and_exits_with_0(
    tmp_path: Path, upstream: ScriptedUpstream, count: Count
) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        load = _load(gate, key, 0, 400)
        while len(count.seen) < 100:
            time.sleep(0.005)
        began = time.monotonic()

        assert gate.stop() == 0

        assert time.monotonic() - began < 30
        load.join(60)
        assert 100 <= len(count.seen) < 400
        events = _check(gate, count)
    assert {event["outcome"] for event in events} <= {"ok", "error", "upstream_error", "upstream_cut", "client_left"}


@pytest.mark.long
@pytest.mark.row(70)
@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
def test_a_clock_that_jumps_an_hour_either_way_costs_nobody_anything(
    tmp_path: Path, upstream: ScriptedUpstream, count: Count
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0", "ascii")
    environment = {
        "LD_PRELOAD": FAKETIME[0],
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with running_gate(tmp_path, CONFIG.format(url=upstream.url), environment) as gate:
        key = gate.new_key()
        for round_, shift in enumerate(("+0", "+1h", "-1h", "+0")):
            clock.write_text(shift, "ascii")
            load = _load(gate, key, 1000 * round_, 60)
            load.join(60)
        began = time.monotonic()
        status, headers, _ = gate.call(
            "POST",
            "/v1/chat/completions",
            key,
            {"model": "m", "messages": [{"role": "user", "content": "plain 9999 x"}]},
        )
        assert (status, time.monotonic() - began < 5) == (200, True)
        left = int(headers["x-ratelimit-remaining-requests"])
        gate.events_once(len(count.seen))
        assert gate.stop() == 0
        events = _check(gate, count)
        hours = {event["started_at"] // 3_600_000 for event in events}
        usage = gate.command("usage", "--by", "day")

    assert len(events) == 241
    assert len(hours) >= 3
    assert (
        59 <= left <= 59 + 20
    )  # limits go by another clock: an hour on gives nothing back, an hour back takes nothing
    assert sum(row["attempts"] for row in usage) == 241


def test_5000_open_holds_are_recovered_at_once(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.command("keys", "create", "--name", "n")
        assert gate.stop() == 0
        write(gate.home, [], [hold(key_id=key["id"], provider="up", model="m", model_asked="m") for _ in range(5000)])
        began = time.monotonic()
        gate.start()
        took = time.monotonic() - began
        assert gate.about["recovered"] == 5000
        verified = gate.command("verify")
        assert gate.stop() == 0
        began = time.monotonic()
        gate.start()
        plain = time.monotonic() - began

    assert (verified["ok"], verified["events"], verified["open_holds"]) == (True, 5000, 0)
    assert took < plain + 20


@needs_to_know_where
@pytest.mark.row(65)
def test_a_damaged_store_is_set_aside_with_an_alarm_and_what_was_spent_stays(
    tmp_path: Path, upstream: ScriptedUpstream, count: Count
) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        _load(gate, key, 0, 60).join(60)
        gate.events_once(60)
        before = gate.command("usage", "--by", "model")
        assert gate.stop() == 0
        break_table(gate.home, "sums")
        gate.start()
        assert gate.call(
            "POST",
            "/v1/chat/completions",
            key,
            {"model": "m", "messages": [{"role": "user", "content": "refused 99 x"}]},
        )[0]
        gate.events_once(61)
        after = gate.command("usage", "--by", "model")
        [said] = [line for line in map(json.loads, gate.log().splitlines()) if line["event"] == "store_damaged"]
        _, _, metrics = gate.operator("GET", "/metrics")
        _check(gate, count)
        assert gate.stop() == 0
        break_table(gate.home, "holds")
        ports = ("--port", "0", "--operator-port", "0")
        refused = run("serve", *ports, "--home", str(gate.home), folder=tmp_path, environment=gate.environment)

    assert after[0]["attempts"] == before[0]["attempts"] + 1 == 61
    assert after[0]["cost_usd"] == before[0]["cost_usd"]
    assert said["tables"] == "sums"
    assert Path(said["file"]).exists()
    assert b"tollkeeper_store_damaged 1.0" in metrics
    assert refused.returncode == 1
    assert b"is damaged, and what was spent is not known" in refused.stderr


@pytest.mark.row(75)
def test_a_second_gate_on_a_home_is_refused_and_leaves_the_firsts_calls_alone(
    tmp_path: Path, upstream: ScriptedUpstream, count: Count
) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        load = _load(gate, key, 0, 200)
        while len(count.seen) < 50:
            time.sleep(0.005)
        there = ("--home", str(gate.home), "--config", str(gate.config))
        second = run(
            *("serve", "--port", "0", "--operator-port", "0", *there), folder=tmp_path, environment=gate.environment
        )
        load.join(60)
        gate.events_once(len(count.seen))
        events = _check(gate, count)

    assert second.returncode == 1
    assert f"process {gate.process.pid}".encode() in second.stderr
    assert len(events) == 200
    assert {event["quality"] for event in events} <= {"reported", "counted", "unpriced"}


@pytest.mark.row(78)
@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="no /proc here")
def test_a_child_gets_no_handle_of_the_store_and_a_reload_keeps_the_ledgers_own(
    tmp_path: Path, upstream: ScriptedUpstream, count: Count
) -> None:
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        asyncio.run(call(gate.port, key, "plain", 1))
        before = _handles(gate)
        load = _load(gate, key, 1000, 100)
        for spare in range(5):
            gate.config.write_text(
                gate.config.read_text("utf-8") + f"\n[models.spare{spare}]\ntargets = ['up/m']\n", "utf-8"
            )
            gate.process.send_signal(1)
            time.sleep(0.05)
        load.join(60)
        gate.events_once(len(count.seen))
        after = _handles(gate)
        events = _check(gate, count)
        lines = [json.loads(line)["event"] for line in gate.log().splitlines()]

    assert lines.count("config_loaded") >= 1
    assert len(events) == 101
    assert before["store"] >= 1
    assert after["inherited"] == before["inherited"] == 0
    assert after["store"] <= before["store"] + 2  # checkpoints and balances open theirs when they are first needed


def _handles(gate: GateProcess) -> dict[str, int]:
    """Open files of the store in the gate's process, and how many of them a child of it would have."""
    process = Path(f"/proc/{gate.process.pid}")
    found = {"store": 0, "inherited": 0}
    for link in (process / "fd").iterdir():
        try:
            target = os.readlink(link)
            flags = (process / "fdinfo" / link.name).read_text("ascii")
        except OSError:
            continue
        if "/tollkeeper.db" in target:
            found["store"] += target.endswith("tollkeeper.db")
            octal = next(line.split()[1] for line in flags.splitlines() if line.startswith("flags:"))
            found["inherited"] += not int(octal, 8) & os.O_CLOEXEC
    return found
