"""`tollkeeper budgets`: every budget by the ledger, in a table and as JSON, with and without a gate that runs."""

import os
import time
from pathlib import Path

from kit.records import event, hold, write
from kit.terminal import Ended, tollkeeper
from tollkeeper.stores.sqlite.keys import KeyStore

CONFIG = '[budgets]\nall = ["10 USD", "100 tokens/hour soft"]\n[budgets.teams]\n"ü" = ["2 USD/day Europe/Berlin"]\n'


def _run(folder: Path, *options: str) -> Ended:
    return tollkeeper("budgets", "--home", str(folder / "home"), *options, folder=folder)


def _past(folder: Path) -> str:
    """A key of a team with a budget, an event and a hold of now; its id."""
    home = folder / "home"
    store = KeyStore(home, time.time, os.urandom)
    key, _ = store.create("ada", team="ü", budgets=["1 USD/month"])
    store.create("plain")
    store.close()
    now = int(time.time() * 1000)
    who = {"key_id": key.id, "team": "ü", "started_at": now}
    write(home, [event(cost_nano=250_000_000, **who)], [hold(held_nano=10_000_000, held_tokens=40, **who)])
    return key.id


def test_budgets_of_the_config_and_of_keys_are_listed_with_what_the_ledger_says(tmp_path: Path) -> None:
    key_id = _past(tmp_path)
    (tmp_path / "tollkeeper.toml").write_text(CONFIG, "utf-8")

    done = _run(tmp_path, "--json")

    assert done.code == 0, done.error
    rows = done.json()
    assert [(row["scope"], row["of"], row["name"], row["budget"]) for row in rows] == [
        ("all", None, None, "10 USD"),
        ("all", None, None, "100 tokens/hour soft"),
        ("team", "ü", None, "2 USD/day Europe/Berlin"),
        ("key", key_id, "ada", "1 USD/month"),
    ]
    assert [(row["spent"], row["held"], row["left"]) for row in rows] == [
        ("0.25", "0.01", "9.74"),
        ("12", "40", "48"),
        ("0.25", "0.01", "1.74"),
        ("0.25", "0.01", "0.74"),
    ]


def test_the_table_names_whose_each_budget_is(tmp_path: Path) -> None:
    _past(tmp_path)
    (tmp_path / "tollkeeper.toml").write_text(CONFIG, "utf-8")

    lines = [line.split() for line in _run(tmp_path).out.splitlines()]

    assert lines[0] == ["of", "budget", "spent", "held", "left", "renews"]
    assert lines[1] == ["all", "10", "USD", "0.25", "0.01", "9.74", "never"]
    assert lines[3][:5] == ["team", "ü", "2", "USD/day", "Europe/Berlin"]
    assert lines[4][:4] == ["key", "ada", "1", "USD/month"]


def test_the_config_that_was_read_is_named_and_so_is_that_there_was_none(tmp_path: Path) -> None:
    _past(tmp_path)

    without = _run(tmp_path)
    (tmp_path / "gate.toml").write_text(CONFIG, "utf-8")
    named = _run(tmp_path, "--config", "gate.toml")

    assert len(without.out.splitlines()) == 2
    assert without.error.startswith("Read without a config file")
    assert without.error.endswith("Name it with --config.\n")
    assert (named.out.splitlines()[-1], named.error) == ("Those of keys, and those that gate.toml sets.", "")


def test_where_nobody_has_a_budget_that_is_said(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "home", time.time, os.urandom)
    store.create("plain")
    store.close()
    (tmp_path / "tollkeeper.toml").write_text("[cache]\n", "utf-8")

    assert _run(tmp_path).out == "No key that is usable has a budget, and tollkeeper.toml sets none.\n"
    assert _run(tmp_path, "--json").json() == []


def test_a_budget_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    _past(tmp_path)
    (tmp_path / "tollkeeper.toml").write_text('[budgets]\nall = ["10 beans"]\n', "utf-8")

    done = _run(tmp_path)

    assert (done.code, done.out) == (3, "")
    assert "budgets.all: '10 beans'" in done.error


def test_where_the_environment_names_a_table_no_home_is_read_in_its_place(tmp_path: Path) -> None:
    done = tollkeeper("budgets", folder=tmp_path, environment={"TOLLKEEPER_TABLE": "gate", "HOME": str(tmp_path)})

    assert done.code == 1
    assert "not the table of TOLLKEEPER_TABLE: say which with --home" in done.error


def test_where_there_is_no_store_that_is_said(tmp_path: Path) -> None:
    done = _run(tmp_path)

    assert done.code == 1
    assert "There is no store" in done.error
