"""What a gate went through, its ledger proves: budgets under load and kills, and a clock that is set under load."""

import glob
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import (
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)
from tollkeeper.stores.sqlite.proof import prove

CONFIG = """
[providers.one]
kind = "openai"
base_url = "{url}"

[providers.two]
kind = "openai"
base_url = "{url}"

[models.m]
targets = ["one/x", "two/y"]
price = {{ input = 100, output = 200, cached_input = 3 }}

[retry]
retries = 2

[budgets]
all = ["60 USD/day", "20000000 tokens/month"]
each_key = ["30 USD/day adaptive"]

[budgets.teams]
red = ["25 USD/day"]
"""
FAKETIME = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))


@contextmanager
def loaded(folder: Path, environment: Mapping[str, str]) -> Iterator[GateProcess]:
    """A gate with six keys and twelve callers, before a provider of many moods."""
    chance = random.Random(7)

    def moody(request: Request, connection: Connection) -> bool | None:
        time.sleep(chance.choice((0, 0, 0.002, 0.02, 0.2)))
        if chance.random() < 0.1:
            return json_answer(500, {"error": {"message": "no"}})(request, connection)
        used = usage_of(chance.randrange(1, 300), chance.randrange(1, 60))
        if request.json().get("stream"):
            return event_stream(b"".join(chat_events(["a"] * 5, used)))(request, connection)
        return json_answer(200, chat_answer("a", *list(used.values())[:2]))(request, connection)

    with (
        ScriptedUpstream(moody) as upstream,
        running_gate(folder, CONFIG.format(url=upstream.url), environment) as gate,
    ):
        keys = [
            gate.new_key(name=f"k{n}", team="red" if n % 2 else None, budgets=["12 USD"] if n < 3 else [])
            for n in range(6)
        ]
        over = threading.Event()

        def calls(seed: int) -> None:
            mine = random.Random(seed)
            while not over.is_set():
                message = {"role": "user", "content": "x" * mine.randrange(1, 400)}
                body = {"model": "m", "messages": [message], "stream": mine.random() < 0.4}
                if mine.random() < 0.7:
                    body["max_tokens"] = mine.randrange(20, 100)
                try:
                    status, _, _ = gate.call("POST", "/v1/chat/completions", mine.choice(keys), body)
                except Exception:
                    over.wait(0.05)  # it was killed, or is not there yet
                else:
                    over.wait(0.02 if status == 429 else 0)

        callers = [threading.Thread(target=calls, args=(seed,)) for seed in range(12)]
        for caller in callers:
            caller.start()
        try:
            yield gate
        finally:
            over.set()
            for caller in callers:
                caller.join()


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.mark.long
@pytest.mark.row(62)
def test_after_kills_under_load_every_admission_is_proved(tmp_path: Path) -> None:
    with loaded(tmp_path, {}) as gate:
        for _ in range(10):
            time.sleep(random.uniform(0.5, 1.5))
            during = prove(gate.home, now_ms())
            gate.stop(signal.SIGKILL)
            killed = prove(gate.home, now_ms())
            gate.start()

            assert (during.problems, killed.problems) == ([], [])
        time.sleep(3)
    assert gate.process.returncode is not None
    proof = prove(gate.home, now_ms())

    assert proof.problems == []
    assert proof.open_holds == 0 or gate.process.returncode == -signal.SIGKILL
    assert proof.costs.made_again > 300
    assert proof.admissions > 1000
    for window in proof.windows:
        assert window.peak <= window.amount
        assert window.overdrafts == 0


@pytest.mark.long
@pytest.mark.row(70)
@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
def test_a_clock_that_is_set_under_load_accuses_nobody(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0", "ascii")
    environment = {
        "LD_PRELOAD": FAKETIME[0],
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with loaded(tmp_path / "gate", environment) as gate:
        for shift in ("+0", "+2h", "-1h", "+0"):
            clock.write_text(shift, "ascii")
            time.sleep(3)
        assert "clock_set" in gate.log()
        until = time.monotonic() + 120
        while prove(gate.home, now_ms()).admissions <= 500 and time.monotonic() < until:
            time.sleep(1)
    proof = prove(gate.home, now_ms() + 7_200_000)

    assert proof.problems == [] or proof.problems == [f"{proof.open_holds} holds outlived their attempts"]
    assert proof.admissions > 500
