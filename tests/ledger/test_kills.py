"""kill -9 at each step of a call and at random moments, under load: nothing is lost, nothing is counted twice."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream
from ledger.dying import STEPS, VARIABLE
from ledger.mixed import Count, counting_upstream, many

MODELS = 150
AT_ONCE = 25
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[retry]
retries = 0
[health]
failures = 1000000
[budgets]
all = ["1000 USD"]
each_key = ["1000 USD/month Asia/Kathmandu"]
""" + "".join(
    f'[models.m{number}]\ntargets = ["up/m{number}"]\nprice = {{{{ input = 1, output = 2 }}}}\n'
    for number in range(MODELS)
)
DYING = str(Path(__file__).with_name("dying.py"))


class Rounds:
    """One home and one upstream, through as many lives of the gate as there are rounds; each round has a key of its own."""

    def __init__(self, gate: GateProcess, upstream: ScriptedUpstream, count: Count) -> None:
        self.gate = gate
        self.count = count
        self.keys: list[str] = []
        upstream.script = counting_upstream(count, "sk-x")

    def live(self, end: Callable[[GateProcess], None], step: str | None = None, times: int = 1) -> None:
        """The gate lives once, under load, until `end` or until it comes to `step`."""
        self.gate.program = ("-m", "tollkeeper") if step is None else (DYING,)
        self.gate.environment[VARIABLE] = f"{step}:{times}"
        self.gate.start()
        secret = self.gate.new_key(name=f"round {len(self.keys)}")
        first, port = 1000 * len(self.keys), self.gate.port
        self.keys.append(secret)
        load = threading.Thread(
            target=lambda: asyncio.run(many(port, secret, first, first + MODELS, first, AT_ONCE, numbered=True))
        )
        load.start()
        end(self.gate)
        load.join(60)
        assert not load.is_alive()
        assert self.gate.stop(signal.SIGKILL) == -signal.SIGKILL

    def die_recovering(self) -> None:
        """The gate dies while it makes events of what the last round left open."""
        self.gate.environment[VARIABLE] = "recovering:1"
        died = subprocess.run(
            [
                *(sys.executable, DYING, "serve", "--port", "0", "--operator-port", "0"),
                *("--home", str(self.gate.home), "--config", str(self.gate.config)),
            ],
            env=self.gate.environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr

    def check(self) -> Counter[str]:
        """The ledger against the upstream's own count, call by call; how many events there are of each quality."""
        self.gate.program = ("-m", "tollkeeper")
        self.gate.start()
        named = {
            key["id"]: int(key["name"].split()[1]) for key in self.gate.command("keys", "list") if " " in key["name"]
        }
        events: dict[int, dict[str, Any]] = {}
        listed = self.gate.command("events", "--limit", "1000000")
        for event in listed:
            number = 1000 * named[event["key_id"]] + int(event["model_asked"][1:])
            assert number not in events, "an attempt has two events"
            events[number] = event
        seen, reported = {int(n) for n in self.count.seen}, {int(n): used for n, used in self.count.reported.items()}
        assert seen <= events.keys(), "an attempt that reached the provider has no event"
        for number, event in events.items():
            if event["quality"] == "reported":
                assert (event["input_tokens"], event["output_tokens"]) == reported[number]
            elif number in reported:
                assert event["quality"] == "recovered", event
            if number not in seen:
                assert event["quality"] == "recovered" or event["cost_usd"] == "0", event
        verified = self.gate.command("verify")
        cost = sum(Decimal(event["cost_usd"]) for event in listed)
        assert (verified["ok"], verified["open_holds"], verified["events"]) == (True, 0, len(events)), verified
        assert Decimal(verified["cost_usd"]) == cost
        for by in ("key", "model", "day"):
            rows = self.gate.command("usage", "--by", by)
            assert sum(row["attempts"] for row in rows) == len(events)
            assert sum(Decimal(row["cost_usd"]) for row in rows) == cost
        status, _, body = self.gate.operator("GET", "/api/budgets")
        assert status == 200, body
        [whole] = [row for row in json.loads(body)["data"] if row["scope"] == "all"]
        assert (Decimal(whole["spent"]), Decimal(whole["held"])) == (cost, 0)
        return Counter(event["quality"] for event in listed)


def _by_itself(gate: GateProcess) -> None:
    assert gate.process.wait(30) == -signal.SIGKILL


def _told_to_stop(gate: GateProcess) -> None:
    time.sleep(0.15)
    gate.process.send_signal(signal.SIGTERM)
    _by_itself(gate)


def _rounds(tmp_path: Path, upstream: ScriptedUpstream) -> Any:
    return running_gate(tmp_path, CONFIG.format(url=upstream.url))


def _kill(rounds: Rounds, step: str, draw: random.Random) -> None:
    if step == "recovering":
        rounds.live(_by_itself, "held and not sent", draw.randrange(20, 60))
        rounds.die_recovering()
    elif step in ("shutting down", "last ends"):
        rounds.live(_told_to_stop, step)
    elif step in ("summing", "summed", "pages move", "the log begins again"):
        rounds.live(_by_itself, step, draw.randrange(1, 4))
    elif step in ("before the hold", "held and not sent", "sent", "in a stream", "before the end", "end queued"):
        rounds.live(_by_itself, step, draw.randrange(5, 70))
    else:
        rounds.live(_by_itself, step, draw.randrange(1, 12))  # transactions, of some twenty


@pytest.mark.row(62)
@pytest.mark.long
def test_200_kills_at_each_step_and_at_random_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    draw = random.Random(20261121)
    with ScriptedUpstream(lambda request, connection: None) as upstream, _rounds(tmp_path, upstream) as gate:
        gate.stop()
        rounds = Rounds(gate, upstream, Count())
        began = time.monotonic()
        for _ in range(8):
            for step in STEPS:
                _kill(rounds, step, draw)
        for _ in range(60):
            rounds.live(lambda gate: time.sleep(draw.uniform(0.01, 0.4)))
        kills = 8 * (len(STEPS) + 1) + 60
        found = rounds.check()

    assert kills >= 200
    assert found["reported"] > 1000
    assert found["recovered"] > 100
    took = time.monotonic() - began
    print(f"{kills} kills in {took:.0f} s: {dict(found)}, upstream saw {len(rounds.count.seen)}")


@pytest.mark.row(63)
@pytest.mark.long
def test_a_kill_half_a_second_after_each_start_for_ten_minutes_loses_nothing(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda request, connection: None) as upstream, _rounds(tmp_path, upstream) as gate:
        gate.stop()
        rounds = Rounds(gate, upstream, Count())
        until = time.monotonic() + 600
        while time.monotonic() < until:
            rounds.live(lambda gate: time.sleep(0.5))
        found = rounds.check()

    assert len(rounds.keys) > 50
    assert found["reported"] > 20 * len(rounds.keys)
    assert found["recovered"] > 0
    print(f"{len(rounds.keys)} kills: {dict(found)}, upstream saw {len(rounds.count.seen)}")


@pytest.mark.row(62)
@pytest.mark.parametrize("step", ["recovering"])
def test_a_kill_loses_nothing_and_counts_nothing_twice(tmp_path: Path, step: str) -> None:
    with ScriptedUpstream(lambda request, connection: None) as upstream, _rounds(tmp_path, upstream) as gate:
        gate.stop()
        rounds = Rounds(gate, upstream, Count())
        _kill(rounds, step, random.Random(step))
        rounds.check()
