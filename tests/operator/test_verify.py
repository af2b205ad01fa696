"""/api/verify: the book that admits calls has what the ledger has, also while calls go on and after a restart."""

import contextlib
import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.stores.sqlite.proof import prove

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"

[models.m]
targets = ["up/real"]
price = {{ input = 100, output = 200 }}

[budgets]
all = ["100 USD/day", "50 USD/day soft"]

[budgets.teams]
red = ["1000000 tokens/month Europe/Berlin"]
"""


@pytest.fixture
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    upstream.script = json_answer(200, chat_answer(prompt_tokens=10, completion_tokens=5))
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


def verified(gate: GateProcess) -> dict[str, Any]:
    status, _, body = gate.operator("GET", "/api/verify")
    assert status == 200, body
    told: dict[str, Any] = json.loads(body)
    return told


def call(gate: GateProcess, key: str) -> int:
    return gate.call("POST", "/v1/chat/completions", key, {"model": "m", "messages": [], "max_tokens": 9})[0]


def test_the_book_and_the_ledger_agree_while_calls_go_on_and_after_a_kill(gate: GateProcess) -> None:
    key = gate.new_key(team="red", budgets=["20 USD"])
    made: list[int] = []
    over = threading.Event()

    def calls() -> None:
        while not over.is_set():
            made.append(call(gate, key))

    callers = [threading.Thread(target=calls) for _ in range(4)]
    for caller in callers:
        caller.start()
    during = [verified(gate) for _ in range(20)]
    over.set()
    for caller in callers:
        caller.join()
    gate.stop(signal.SIGKILL)
    gate.start()
    after = verified(gate)

    assert set(made) == {200}
    assert all(told["ok"] for told in during), [told for told in during if not told["ok"]]
    assert float(during[-1]["data"][0]["spent"]) > 0
    assert after["ok"] is True
    assert {line["budget"] for line in after["data"]} == {
        "100 USD/day",
        "50 USD/day soft",
        "1000000 tokens/month Europe/Berlin",
        "20 USD",
    }
    for line in after["data"]:
        assert line["spent"] == line["spent_by_ledger"] != "0"
    assert prove(gate.home, 0).problems == []


def test_a_ledger_that_was_changed_behind_the_gate_is_noticed(gate: GateProcess) -> None:
    key = gate.new_key(budgets=["20 USD"])
    assert call(gate, key) == 200
    gate.events_once(1)
    assert verified(gate)["ok"] is True
    with contextlib.closing(sqlite3.connect(gate.home / "tollkeeper.db", isolation_level=None, timeout=30)) as store:
        for table in ("events", "sums"):
            store.execute(f"UPDATE {table} SET cost_nano = cost_nano + 1")

    told = verified(gate)

    assert told["ok"] is False
    assert not any(line["ok"] for line in told["data"] if line["unit"] == "usd")


def test_strangers_learn_nothing(gate: GateProcess) -> None:
    assert request("GET", f"{gate.operator_url}/api/verify", {})[0] == 401
