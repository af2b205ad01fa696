"""`tollkeeper holds`: what is held, and an end for a batch that was given up."""

import json
import os
import time
from pathlib import Path

import pytest

from kit.records import hold, write
from kit.terminal import Ended, tollkeeper
from tollkeeper.core.events import Hold
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.sole import sole

CONFIG = """
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[models.alias]
targets = ["up/gpt-4o-mini"]
price = { input = 2, output = 2 }
"""


def _run(folder: Path, *arguments: str) -> Ended:
    return tollkeeper(*arguments, "--home", str(folder / "home"), folder=folder)


@pytest.fixture
def batch(tmp_path: Path) -> Hold:
    """A home where a batch's money is set aside, and a call's that a crash left open."""
    (tmp_path / "tollkeeper.toml").write_text(CONFIG, "utf-8")
    store = KeyStore(tmp_path / "home", time.time, os.urandom)
    key, _ = store.create("bulk", budgets=["1 USD"])
    store.close()
    now = int(time.time() * 1000)
    shared = {"key_id": key.id, "started_at": now, "expires_at": now + 86_400_000}
    found = hold(request_id="tkbatch", detached=True, held_nano=500_000_000, input_bound=1000, **shared)
    write(tmp_path / "home", [], [found, hold(held_nano=1, **shared)])
    return found


def test_holds_are_listed_with_what_is_still_set_aside(tmp_path: Path, batch: Hold) -> None:
    rows = _run(tmp_path, "holds", "list", "--json").json()
    lines = _run(tmp_path, "holds", "list").out.splitlines()

    assert [(row["what"], row["held_usd"]) for row in rows] == [("call", "0.000000001"), ("batch", "0.5")]
    assert f"tkbatch:1  {batch.key_id}  up/gpt-4o-mini  batch  0.5 USD" in lines[1]


@pytest.mark.parametrize(("options", "spent"), [((), "0.001"), (("--uncharged",), "0")])
def test_a_batch_that_was_given_up_is_ended_once_and_its_money_is_free(
    tmp_path: Path, batch: Hold, options: tuple[str, ...], spent: str
) -> None:
    first = _run(tmp_path, "holds", "end", "tkbatch", *options)
    again = _run(tmp_path, "holds", "end", "tkbatch", *options)

    assert (first.code, first.error) == (0, "")
    assert first.out.startswith("tkbatch is ended")
    assert (again.code, again.error) == (4, "Error: Nothing is held for 'tkbatch'.\n")
    events = [each for each in _run(tmp_path, "events", "--json").json() if each["request_id"] == "tkbatch"]
    assert [(each["quality"], each["cost_usd"]) for each in events] == [("recovered", spent)] * (not options)
    [budget] = _run(tmp_path, "budgets", "--json").json()
    assert float(budget["held"]) == 0
    assert _run(tmp_path, "verify").code == 0


def test_what_ends_by_itself_and_what_a_running_gate_has_in_memory_stay(tmp_path: Path, batch: Hold) -> None:
    call = next(row["request_id"] for row in _run(tmp_path, "holds", "list", "--json").json() if row["what"] == "call")

    assert "no batch's" in _run(tmp_path, "holds", "end", call).error
    with sole(tmp_path / "home"):
        refused = _run(tmp_path, "holds", "end", "tkbatch")

    assert refused.code == 1
    assert "stop it first" in refused.error
    assert len(json.loads(_run(tmp_path, "holds", "list", "--json").out)) == 2
