"""The proof finds every way in which a ledger can be wrong, each planted in one that a real gate wrote."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.records import NOW, event, hold, request_id, write
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.proof import Proof, prove

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"

[providers.broken]
kind = "openai"
base_url = "{broken}"

[models.m]
targets = ["up/real"]
price = {{ input = 100, output = 200, cached_input = 50 }}

[models.two]
targets = ["broken/gone", "up/real"]
price = {{ input = 100, output = 200 }}

[models.free]
targets = ["up/free"]

[retry]
retries = 1

[budgets]
all = ["100000000 tokens/day"]
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose ledger a gate has written: budgets that bind, calls side by side, failures, unpriced ones."""
    folder = tmp_path_factory.mktemp("gate")
    answer = chat_answer(prompt_tokens=100, completion_tokens=20)
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": 40}
    with (
        ScriptedUpstream(json_answer(200, answer)) as up,
        ScriptedUpstream(json_answer(500, {"error": {"message": "no"}})) as broken,
        running_gate(folder, CONFIG.format(url=up.url, broken=broken.url)) as gate,
    ):
        key = gate.new_key(name="rich", budgets=["0.3 USD/day", "100000 tokens/hour"])
        other = gate.new_key(name="free")
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda n: _call(gate, key, "m"), range(60)))
        assert {200, 429} == set(statuses)
        for model in ("two", "free", "m"):
            assert _call(gate, other, model) == 200
        gate.events_once(statuses.count(200) + 4)
        until = time.monotonic() + 30
        while _not_summed(gate.home) and time.monotonic() < until:
            time.sleep(0.1)
        assert gate.stop() == 0
        yield gate.home


def _not_summed(home: Path) -> int:
    """Events that are in no sums yet: to change one of them differs from nothing."""
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", timeout=30)) as store:
        [(count,)] = store.execute("SELECT count(*) FROM fresh")
    return int(count)


def _call(gate: GateProcess, key: str, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 60}
    return gate.call("POST", "/v1/chat/completions", key, body)[0]


@pytest.fixture
def home(written: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    copytree(written, tmp_path / "copy")
    return tmp_path / "copy"


def plant(home: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", isolation_level=None)) as store:
        for statement in statements:
            assert store.execute(statement).rowcount != 0, statement


def problems(home: Path) -> list[str]:
    return prove(home, int(time.time() * 1000)).problems


FIRST = "(SELECT min(request_id) FROM events WHERE outcome = 'ok' AND cost_nano > 0)"


def test_what_a_gate_wrote_is_proved(home: Path) -> None:
    proof = prove(home, int(time.time() * 1000))

    assert proof.problems == []
    assert proof.sound
    assert proof.costs.made_again == proof.events - 2
    assert (proof.costs.nothing, proof.costs.unpriced, proof.costs.without_prices) == (1, 1, 0)
    assert proof.hours > 0
    assert {window.scope for window in proof.windows} == {"all", "key"}
    for window in proof.windows:
        assert 0 < window.peak <= window.amount
        assert window.peak_at > 0
    [money] = [window for window in proof.windows if window.id.startswith("key:") and window.unit == "usd"]
    assert money.spent == money.admitted * 12_000_000
    assert proof.admissions == proof.events + 2 * money.admitted


WRONG = [
    ("a cost", f"UPDATE events SET cost_nano = cost_nano + 1 WHERE request_id = {FIRST}", "at the noted prices make"),
    ("tokens", f"UPDATE events SET input_tokens = input_tokens + 1 WHERE request_id = {FIRST}", "at the noted prices"),
    ("an event that is gone", f"DELETE FROM events WHERE request_id = {FIRST}", "differ from its events"),
    (
        "an event beside",
        "UPDATE events SET cost_nano = 0 WHERE cost_nano > 0 AND attempt = 2",
        "differ from its events",
    ),
    ("a first attempt", "DELETE FROM events WHERE outcome = 'upstream_error'", "has no event, though 2 has one"),
    ("a sum", "UPDATE sums SET attempts = attempts + 1 WHERE span = 'hour'", "differ from its events in attempts"),
    ("a day", "UPDATE sums SET cost_nano = cost_nano + 1 WHERE span = 'day'", "differ from those of its hours"),
    ("a month that is gone", "DELETE FROM sums WHERE span = 'month'", "The sums of the month"),
    ("an hour that is gone", "DELETE FROM hours", "are in no sums and do not wait for them"),
    (
        "a fresh one that is gone",
        "INSERT INTO unsummed (attempts) VALUES ('[[\"00\",1]]')",
        "1 events that were written are gone",
    ),
    ("a note", f"UPDATE events SET trace = 'oops' WHERE request_id = {FIRST}", "its notes cannot be read"),
    (
        "a price",
        f"""UPDATE events SET trace = '[["price","x"]]' WHERE request_id = {FIRST}""",
        "not a note of unit prices",
    ),
    ("a hold that is stale", "INSERT INTO holds VALUES ('00', 1, 5, '{}')", "1 holds outlived their attempts"),
    (
        "a hold beside an event",
        f"INSERT INTO holds SELECT request_id, attempt, 1 << 60, '{{}}' FROM events WHERE request_id = {FIRST}",
        "1 attempts have both a hold and an event",
    ),
    ("a key that is gone", "DELETE FROM keys WHERE name = 'free'", "events are of keys that never were"),
    (
        "a budget that had less",
        "UPDATE events SET trace = replace(trace, '300000000', '30000000') WHERE trace LIKE '%300000000%'",
        "was admitted by key:",
    ),
    (
        "all that took longer",
        "UPDATE events SET duration_ms = 9e6 WHERE outcome = 'ok' AND cost_nano > 0",
        "as spent where the log has",
    ),
]


@pytest.mark.parametrize(("statement", "words"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
def test_what_is_wrong_is_named(home: Path, statement: str, words: str) -> None:
    plant(home, statement)

    found = problems(home)

    assert any(words in problem for problem in found), found


def test_a_budget_that_was_exceeded_at_an_instant_is_found_though_the_notes_say_nothing(tmp_path: Path) -> None:
    note = ["budget", "key:key_1:usd:day:UTC", "usd", 10_000, 0, 0, 4_000]
    side_by_side = [
        event(started_at=NOW + n, duration_ms=500.0, cost_nano=10, trace=json.dumps([note])) for n in range(3)
    ]
    write(tmp_path / "home", side_by_side)

    found = [words for words in prove(tmp_path / "home", NOW).problems if "exceeded" in words]

    assert found == [
        f"{side_by_side[2].request_id}:1: with it 0 nano-USD were spent and 12000 held in key:key_1:usd:day:UTC of 10000: "
        "it was exceeded"
    ]


def test_what_is_shown_as_spent_is_compared_with_the_events(home: Path) -> None:
    plant(home, "UPDATE sums SET cost_nano = cost_nano + 7")

    assert any("are shown as spent, its events make" in problem for problem in problems(home))


def test_an_overdraft_is_told_and_is_no_problem(tmp_path: Path) -> None:
    note = ["budget", "all:tokens:total:UTC", "tokens", 1000, 0, 0, 10]
    write(tmp_path / "home", [event(trace=json.dumps([note]))])

    proof = prove(tmp_path / "home", NOW)

    assert proof.problems == ["1 events are of keys that never were"]
    assert proof.overdrafts[0].endswith("cost 2 tokens more than its ceiling in all:tokens:total:UTC")
    assert proof.windows[0].overdrawn == 2


def test_callers_of_routes_need_no_key(tmp_path: Path) -> None:
    write(
        tmp_path / "home",
        [event(request_id=request_id(n), key_id=key) for n, key in enumerate(("route:r1", "consumer:a"))],
    )

    assert prove(tmp_path / "home", NOW).problems == []


def test_where_detail_is_deleted_the_rest_is_proved(home: Path) -> None:
    plant(
        home,
        "UPDATE detail SET kept_from = (SELECT max(start) + 3600000 FROM hours)",
        f"DELETE FROM events WHERE request_id <= {FIRST}",
    )

    assert problems(home) == []


def test_attempts_whose_uploads_took_hours_are_put_in_their_place(tmp_path: Path) -> None:
    def noted(spent: int) -> str:
        return json.dumps([["budget", "key:key_1:tokens:day:UTC", "tokens", 100, spent, 0, 12]])

    late = event(request_id=request_id(NOW), started_at=NOW + 7_200_000, trace=noted(24))
    between = [event(started_at=NOW + 3_600_000 * n, trace=noted(12 * n)) for n in (0, 1)]
    write(tmp_path / "home", [late, *between])

    assert prove(tmp_path / "home", NOW).problems == ["3 events are of keys that never were"]


def test_many_problems_are_counted_and_few_are_named(tmp_path: Path) -> None:
    write(tmp_path / "home", [event(trace='[["price",1]]', usage=Usage(input_tokens=5)) for _ in range(300)])

    proof = prove(tmp_path / "home", NOW)

    assert (len(proof.problems), proof.more_problems) == (200, 101)


def test_what_goes_on_meanwhile_is_not_seen(home: Path) -> None:
    calls: list[Any] = []

    def write_meanwhile(what: str, done: int, of: int) -> None:
        if not calls:
            calls.append(what)
            write(home, [event()], [hold()])

    proof = prove(home, int(time.time() * 1000), write_meanwhile)

    assert isinstance(proof, Proof)
    assert calls == ["file"]
    assert proof.problems == []
