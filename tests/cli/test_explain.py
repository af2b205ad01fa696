"""`tollkeeper explain`: for reading, as JSON, and a clear word where there is nothing to explain."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.records import NOW, event, hold, request_id, write
from tollkeeper.cli.main import main
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.keys import KeyStore

NOTES = [
    ["limit", "key:key_1:requests:60", 60, 59, 1],
    ["budget", "key:key_1:usd:month:UTC", "usd", 5_000_000_000, 1_250_000_000, 0, 20_000_000],
    ["budget", "team:red:tokens:day:UTC", "tokens", 1000, 10, 20, 30],
    ["cache", "miss", 0],
    ["target", "up/one", "ordered"],
    ["skipped", "up/two", "ejected"],
    ["clamped", "max_tokens", 512],
    ["something", "new", 3],
]
PRICE = ["price", 150_000_000, 600_000_000, 75_000_001]


def run(home: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["explain", *arguments, "--home", str(home)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def squeezed(text: str) -> str:
    """Without the columns' padding."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


@pytest.fixture
def key_id(home: Path) -> str:
    """The id of a key whose name could be taken for markup."""
    store = KeyStore(home, time.time, os.urandom)
    key, _ = store.create("odd [bold]name :smile:", owner="ann", team="red")
    store.close()
    return key.id


def test_all_that_is_known_is_shown_with_its_numbers(home: Path, key_id: str) -> None:
    told = event(
        key_id=key_id,
        owner="ann",
        team="red",
        held_nano=20_000_000,
        usage=Usage(input_tokens=9, cached_input_tokens=4, output_tokens=3),
        cost_nano=2850,
        price_version="config",
        trace=json.dumps([*NOTES, PRICE]),
    )
    write(home, [told])

    code, out, error = run(home, told.request_id)
    lines = squeezed(out).splitlines()

    assert (code, error) == (0, "")
    assert lines[0] == f"Request {told.request_id}"
    for line in (
        f"key {key_id} (odd [bold]name :smile:) owner ann team red",
        "asked chat alias",
        "state 1 attempt, 0.00000285 USD",
        "limit key:key_1:requests:60: 60, 59 left before, 1 taken",
        "budget key:key_1:usd:month:UTC: 5 usd, 1.25 spent and 0 held before, 0.02 held for this",
        "budget team:red:tokens:day:UTC: 1000 tokens, 10 spent and 20 held before, 30 held for this",
        "cache miss",
        "clamped max_tokens 512",
        "something new 3",
        "up/one ordered",
        "up/two skipped: ejected",
        "Attempt 1: up/gpt-4o-mini ok 200",
        "answered by gpt-4o-mini-2024-07-18",
        "held 0.02 USD",
        "figures reported: input_tokens 9, cached_input_tokens 4, output_tokens 3",
        "cost 0.00000285 USD, at the prices of config",
        "input 5 x 0.15 USD a million = 0.00000075",
        "cached_input 4 x 0.075000001 USD a million = 0.000000300000004",
        "output 3 x 0.6 USD a million = 0.0000018",
        "rounding = -0.000000000000004",
    ):
        assert line in lines, f"{line}\n\n{squeezed(out)}"


def test_lines_that_do_not_add_up_are_pointed_at(home: Path, key_id: str) -> None:
    wrong = event(key_id=key_id, cost_nano=9999, trace=json.dumps([PRICE]))
    write(home, [wrong])

    assert "These lines do not add up to the cost." in run(home, wrong.request_id)[1]
    assert json.loads(run(home, wrong.request_id, "--json")[1])["attempts"][0]["cost"]["adds_up"] is False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cost_nano": None, "quality": "unpriced", "price_version": None}, "unpriced: no price is known"),
        ({"cost_nano": None, "quality": "unpriced"}, "unpriced: the provider told no usage"),
        ({"outcome": "cached", "cost_nano": 0, "saved_nano": 500}, "answered from the cache"),
        ({"cost_nano": 0, "price_version": None}, "nothing that is charged for came back"),
        ({"trace": '[["price",null]]'}, "in other units than tokens"),
        ({"trace": None}, "the unit prices were not noted"),
    ],
)
def test_where_there_are_no_lines_it_says_why(home: Path, key_id: str, changes: dict[str, object], words: str) -> None:
    told = event(key_id=key_id, **changes)
    write(home, [told])

    assert words in run(home, told.request_id)[1]


def test_what_a_cached_answer_saved_is_shown(home: Path, key_id: str) -> None:
    cached = event(
        key_id=key_id, outcome="cached", cost_nano=0, saved_nano=500, trace=json.dumps([["cache", "hit", 500]])
    )
    write(home, [cached])

    out = squeezed(run(home, cached.request_id)[1])

    assert "state 1 attempt, 0 USD, saved 0.0000005 USD" in out
    assert "cache hit, saved 0.0000005 USD" in out


def test_a_call_still_under_way_says_so(home: Path, key_id: str) -> None:
    held = hold(key_id=key_id)
    write(home, [], [held])

    code, out, _ = run(home, held.request_id)

    assert code == 0
    assert "still under way" in out
    assert "Attempt 1: up/gpt-4o-mini under way since 2026-01-01T00:00:00.000+00:00" in squeezed(out)


def test_an_attempt_named_as_events_names_it_is_its_request(home: Path, key_id: str) -> None:
    told = event(key_id=key_id)
    write(home, [told])

    assert run(home, f"{told.request_id}:1", "--json")[1] == run(home, told.request_id.upper(), "--json")[1]


def test_an_unknown_id_and_no_id_at_all_are_told_apart(home: Path) -> None:
    write(home, [])

    unknown = run(home, request_id(NOW))
    none = run(home, "chatcmpl-1")

    assert (unknown[0], none[0]) == (4, 1)
    assert unknown[2].startswith("Error: Nothing is known of request ")
    assert none[2].startswith("Error: 'chatcmpl-1' is no request id")
