"""`tollkeeper usage` and `events`: what the ledger says, as a table and as JSON, also beside a running gate."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.gate import GateProcess
from kit.records import NOW, event, write
from kit.terminal import tollkeeper
from tollkeeper.cli.main import main
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.keys import KeyStore

HEADINGS = ["requests", "attempts", "input", "cached", "output", "reasoning", "USD", "unpriced", "hits", "saved"]


def _run(home: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def key_id(home: Path) -> str:
    """The id of a key with a name that a table could take for markup, and a past of four events in two days."""
    store = KeyStore(home, time.time, os.urandom)
    key, _ = store.create("odd [/] [bold]name :smile:")
    store.close()
    usage = Usage(input_tokens=10, cached_input_tokens=4, output_tokens=5, reasoning_tokens=2)
    dear = event(started_at=NOW, key_id=key.id, owner="ann", usage=usage, cost_nano=123_456_789_000_000_001)
    write(
        home,
        [
            dear,
            event(request_id=dear.request_id, attempt=2, started_at=NOW, key_id=key.id, owner="ann", cost_nano=1),
            event(started_at=NOW + 86_400_000, key_id=key.id, cost_nano=None, quality="unpriced", model_asked="free"),
            event(
                started_at=NOW + 86_400_000, key_id="key_gone", outcome="error", error_code="upstream_404", cost_nano=0
            ),
        ],
    )
    return key.id


def test_the_table_has_a_line_for_each_group_with_names_as_they_are(home: Path, key_id: str) -> None:
    code, out, error = _run(home, "usage")

    assert (code, error) == (0, "")
    headings, first, second = out.splitlines()
    assert headings.split() == ["key", *HEADINGS]
    assert first.startswith(f"odd [/] [bold]name :smile: ({key_id})")
    assert first.split()[-10:] == ["2", "3", "28", "4", "11", "2", "123456789.000000002", "1", "0", "0"]
    assert second.split() == ["key_gone", "1", "1", "9", "0", "3", "0", "0", "0", "0", "0"]


def test_json_rows_are_exact(home: Path, key_id: str) -> None:
    rows = json.loads(_run(home, "usage", "--by", "key", "--json")[1])

    assert rows[0] == {
        "key": key_id,
        "name": "odd [/] [bold]name :smile:",
        "requests": 2,
        "attempts": 3,
        "input_tokens": 28,
        "cached_input_tokens": 4,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 11,
        "reasoning_tokens": 2,
        "web_searches": 0,
        "cost_usd": "123456789.000000002",
        "unpriced": 1,
        "cached_requests": 0,
        "saved_usd": "0",
    }


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("owner", ["ann", None]),
        ("team", [None]),
        ("model", ["alias", "free"]),
        ("provider", ["up"]),
        ("day", ["2026-01-01", "2026-01-02"]),
    ],
)
def test_each_group_in_both_forms(home: Path, key_id: str, by: str, groups: list[str | None]) -> None:
    rows = json.loads(_run(home, "usage", "--by", by, "--json")[1])
    table = _run(home, "usage", "--by", by)[1].splitlines()

    assert [row[by] for row in rows] == groups
    assert [line.split()[0] for line in table] == [by, *(group or "-" for group in groups)]


def test_since_and_until_bound_both_reports(home: Path, key_id: str) -> None:
    for command in ("usage", "events"):
        spans = {
            ("--since", "2026-01-02"): 2,
            ("--until", "2026-01-02"): 1 if command == "usage" else 2,
            ("--since", "2026-01-01T00:00:00.001Z", "--until", "2026-01-02"): 0,
            ("--since", str(NOW), "--until", str(NOW + 1)): 1 if command == "usage" else 2,
        }
        for span, rows in spans.items():
            assert len(json.loads(_run(home, command, *span, "--json")[1])) == rows, (command, span)


@pytest.mark.parametrize("command", ["usage", "events"])
def test_an_end_before_its_beginning_is_an_error_and_not_an_empty_report(home: Path, key_id: str, command: str) -> None:
    code, out, error = _run(home, command, "--since", "2026-01-03", "--until", "2026-01-02")

    assert (code, out, error) == (1, "", "Error: --until must not be before --since.\n")


def test_events_are_one_line_each_newest_first(home: Path, key_id: str) -> None:
    code, out, _ = _run(home, "events")
    listed = json.loads(_run(home, "events", "--json")[1])

    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [f"{one['request_id']}:{one['attempt']}" for one in listed]
    assert lines[-1].endswith("ok  in=10 out=5  123456789.000000001 USD  reported")
    assert [("unpriced  unpriced" in line, key_id in line) for line in lines] == [
        (False, False),
        (True, True),
        (False, True),
        (False, True),
    ]
    assert listed[0]["error_code"] == "upstream_404"


def test_events_are_filtered_and_limited(home: Path, key_id: str) -> None:
    everything = json.loads(_run(home, "events", "--json")[1])

    assert json.loads(_run(home, "events", "--limit", "1", "--json")[1]) == everything[:1]
    assert len(json.loads(_run(home, "events", "--key", key_id, "--json")[1])) == 3
    assert len(json.loads(_run(home, "events", "--key", "odd [/] [bold]name :smile:", "--json")[1])) == 3
    assert len(json.loads(_run(home, "events", "--key", "key_gone", "--json")[1])) == 1
    assert _run(home, "events", "--key", "nobody") == (4, "", "Error: There is no key 'nobody'.\n")
    twice = everything[-1]["request_id"]
    assert [one["attempt"] for one in json.loads(_run(home, "events", "--request", twice, "--json")[1])] == [2, 1]


def test_a_store_without_events_has_an_empty_report(home: Path) -> None:
    write(home, [])

    assert json.loads(_run(home, "usage", "--json")[1]) == []
    assert _run(home, "usage")[1].split() == ["key", *HEADINGS]
    assert json.loads(_run(home, "events", "--json")[1]) == []
    assert _run(home, "events") == (0, "", "There are no such events.\n")


@pytest.mark.parametrize("command", ["usage", "events"])
@pytest.mark.parametrize("given", ["yesterday", "²²²²²²²²²", "9" * 30])
def test_a_time_that_is_none_exits_with_1(home: Path, key_id: str, command: str, given: str) -> None:
    code, out, error = _run(home, command, "--since", given)

    assert (code, out) == (1, "")
    assert error.startswith("Error: --since must be a date or time")


@pytest.mark.parametrize("arguments", [("usage", "--by", "colour"), ("events", "--limit", "0"), ("usage", "x")])
def test_a_wrong_command_line_exits_with_2(home: Path, arguments: tuple[str, ...]) -> None:
    assert _run(home, *arguments)[0] == 2


@pytest.mark.parametrize(
    "command",
    [
        *("usage", "events", "events --key n", "keys list", "keys show n", "keys revoke n", "keys rotate n"),
        *("keys change n --rpm 1", "routes list", "routes history", "routes diff 1", "routes undo 1"),
    ],
)
def test_a_home_without_a_store_exits_with_1_and_stays_without(home: Path, command: str) -> None:
    code, out, error = _run(home, *command.split())

    assert (code, out) == (1, "")
    assert str(home) in error
    assert not home.exists()


def test_beside_a_running_gate_a_call_is_in_the_report(gate: GateProcess) -> None:
    key = gate.new_key(name="reporter")
    assert gate.call("POST", "/v1/chat/completions", key, {"model": "gpt-4o-mini", "messages": []})[0] == 200
    gate.events_once(1)

    rows = tollkeeper("usage", "--home", str(gate.home), "--json").json()
    table = tollkeeper("usage", "--config", str(gate.config), "--home", str(gate.home))

    assert [(row["name"], row["requests"], row["cost_usd"]) for row in rows] == [("reporter", 1, "0.00000315")]
    assert (table.code, table.error) == (0, "")
    assert "0.00000315" in table.out
