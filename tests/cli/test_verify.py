"""`tollkeeper verify`: says whether the ledger adds up, in words, in JSON and as its exit code."""

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from kit.gate import running_gate
from kit.raw import RawClient
from kit.records import event, hold, write
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.terminal import tollkeeper
from tollkeeper.stores.sqlite.keys import KeyStore


@pytest.fixture
def ledger(home: Path) -> Path:
    """A home whose ledger is sound: a key, two events and an attempt under way."""
    store = KeyStore(home, time.time, os.urandom)
    key, _ = store.create("n")
    store.close()
    soon = int(time.time() * 1000) + 60_000
    events = [event(key_id=key.id), event(key_id=key.id, cost_nano=None, quality="unpriced")]
    write(home, events, [hold(key_id=key.id, expires_at=soon)])
    return home


def test_a_sound_ledger_exits_with_0(ledger: Path) -> None:
    ended = tollkeeper("verify", "--home", str(ledger))

    assert (ended.code, ended.error) == (0, "")
    assert ended.out == (
        "2 events, 24 tokens, 0.00000315 USD, 1 open holds\n"
        "Costs:   0 times their tokens at the prices noted with them, 0 with nothing to charge, 1 unpriced, "
        "1 without noted prices.\n"
        "Sums:    0 hours compared with their events.\n"
        "Budgets: 0 admissions gone through again, 0 overdrafts.\n"
        "The ledger adds up.\n"
    )
    assert tollkeeper("verify", "--home", str(ledger), "--json").json() == {
        "ok": True,
        "problems": [],
        "more_problems": 0,
        "events": 2,
        "tokens": 24,
        "cost_usd": "0.00000315",
        "open_holds": 1,
        "detail": {
            "events": 2,
            "kept_from": None,
            "costs_made_again": 0,
            "nothing_charged": 0,
            "unpriced": 1,
            "without_noted_prices": 1,
        },
        "hours_compared": 0,
        "admissions": 0,
        "budgets": [],
        "more_budgets": 0,
        "overdrafts": [],
        "more_overdrafts": 0,
    }


def test_an_unsound_one_exits_with_1_and_names_what_does_not_add_up(ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(ledger / "tollkeeper.db", isolation_level=None)) as other:
        other.execute("UPDATE events SET output_tokens = -1 WHERE quality = 'reported'")

    ended = tollkeeper("verify", "--home", str(ledger))
    as_json = tollkeeper("verify", "--home", str(ledger), "--json")

    assert (ended.code, as_json.code) == (1, 1)
    assert ended.error == "1 events have a number below zero\n"
    assert ended.out.endswith("The ledger does not add up.\n")
    assert as_json.json()["ok"] is False
    assert as_json.json()["problems"] == ["1 events have a number below zero"]


@pytest.mark.parametrize("damage", ["a page", "the end"])
def test_a_damaged_file_exits_with_1_without_a_traceback(home: Path, damage: str) -> None:
    write(home, [event(usage_raw="x" * 2000) for _ in range(200)])
    file = home / "tollkeeper.db"
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(root,)] = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'")
    whole = file.read_bytes()
    if damage == "a page":
        file.write_bytes(whole[: 4096 * (root - 1)] + b"\xff" * 64 + whole[4096 * (root - 1) + 64 :])
    else:
        file.write_bytes(whole[: len(whole) // 2])

    ended = tollkeeper("verify", "--home", str(home))

    assert ended.code == 1
    assert "malformed" in ended.error
    assert "The ledger adds up" not in ended.out


def test_no_store_exits_with_1(home: Path) -> None:
    ended = tollkeeper("verify", "--home", str(home), "--json")

    assert (ended.code, ended.out) == (1, "")
    assert "There is no store" in ended.error


def test_beside_a_gate_with_a_call_in_flight_the_ledger_adds_up(tmp_path: Path) -> None:
    release = threading.Event()

    def script(request: Request, connection: Connection) -> bool:
        release.wait(20)
        return bool(json_answer(200, chat_answer())(request, connection))

    with ScriptedUpstream(script) as upstream:
        config = f'[providers.openai]\nbase_url = "{upstream.url}"\napi_key = "sk-x"\n'
        with running_gate(tmp_path, config) as gate, RawClient(gate.port) as client:
            client.post("/v1/chat/completions", gate.new_key(), {"model": "gpt-4o-mini", "messages": []})
            while not upstream.requests:
                time.sleep(0.01)
            during = tollkeeper("verify", "--home", str(gate.home), "--json")
            release.set()
            client.read_until(b"chat.completion")
            assert len(gate.events_once(1)) == 1
            after = tollkeeper("verify", "--home", str(gate.home), "--json")

    assert (during.code, during.json()["ok"], during.json()["open_holds"], during.json()["events"]) == (0, True, 1, 0)
    assert (after.code, after.json()["ok"], after.json()["open_holds"], after.json()["events"]) == (0, True, 0, 1)
