"""`tollkeeper verify --export`: a provider's export beside what a gate has recorded, line by line."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kit.gate import running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.cli.main import main

CONFIG = """
[providers.openai]
base_url = "{url}"
api_key = "sk-x"

[models.m]
targets = ["openai/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6, cached_input = 0.075 }}
"""
DAY = 86_400
MODEL = "gpt-4o-mini-2024-07-18"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose gate has made three calls of 1000 and 70 tokens, 400 of them cached."""
    answer = chat_answer(prompt_tokens=1000, completion_tokens=70)
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": 400}
    with ScriptedUpstream(json_answer(200, answer)) as upstream:
        with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as gate:
            key = gate.new_key()
            for _ in range(3):
                assert gate.call("POST", "/v1/chat/completions", key, {"model": "m", "messages": []})[0] == 200
            gate.events_once(3)
            assert gate.stop() == 0
        yield gate.home


def usage(**changes: Any) -> dict[str, Any]:
    """A page with today's bucket."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 3000,
        "input_cached_tokens": 1200,
        "output_tokens": 210,
        "num_model_requests": 3,
        "model": MODEL,
    } | changes
    today = int(time.time()) // DAY * DAY
    bucket = {"object": "bucket", "start_time": today, "end_time": today + DAY, "results": [result]}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def run(home: Path, export: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["verify", "--export", str(export), "--home", str(home), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return tmp_path / "export.json"


def test_an_export_that_agrees_exits_with_0(home: Path, export: Path) -> None:
    export.write_text(json.dumps(usage()), "utf-8")

    code, out, error = run(home, export)
    lines = squeezed(out)

    assert (code, error) == (0, "")
    assert lines[0] == "openai usage, compared with what openai was asked for"
    assert lines[2].endswith(f"{MODEL} requests 3 3")
    assert lines[3:6] == ["input_tokens 3000 3000", "cached_input_tokens 1200 1200", "output_tokens 210 210"]
    assert lines[-1] == "The export and the ledger agree."


def test_a_difference_is_shown_and_exits_with_1(home: Path, export: Path) -> None:
    export.write_text(json.dumps(usage(input_tokens=3010)), "utf-8")

    code, out, _ = run(home, export)
    as_json = json.loads(run(home, export, "--json")[1])

    assert code == 1
    assert "input_tokens 3000 3010 -10 differs" in squeezed(out)
    assert "total input_tokens 3000 3010 -10 -0.3322 %" in squeezed(out)
    assert squeezed(out)[-1] == "The export and the ledger differ."
    assert as_json["ok"] is False
    [line] = as_json["lines"]
    assert [figure["figure"] for figure in line["figures"] if not figure["within"]] == ["input_tokens"]
    assert line["figures"][1] == {
        "figure": "input_tokens",
        "ours": 3000,
        "theirs": 3010,
        "difference": -10,
        "within": False,
    }


def test_a_difference_within_the_tolerance_is_none(home: Path, export: Path) -> None:
    export.write_text(json.dumps(usage(input_tokens=3010)), "utf-8")

    assert run(home, export, "--tolerance", "0.5")[0] == 0
    assert run(home, export, "--tolerance", "0.1")[0] == 1


def test_a_model_that_only_one_side_has_is_pointed_out(home: Path, export: Path) -> None:
    export.write_text(json.dumps(usage(model="gpt-5")), "utf-8")

    _, out, _ = run(home, export)

    assert any("gpt-5 requests 0 3 -3 not in the ledger" in line for line in squeezed(out))
    assert any(f"{MODEL} requests 3 0 +3 not in the export" in line for line in squeezed(out))


def test_costs_are_compared_to_the_nano_dollar(home: Path, tmp_path: Path) -> None:
    today = int(time.time()) // DAY * DAY
    head = "start_time,end_time,amount_value,amount_currency,line_item\n"
    export = tmp_path / "costs.csv"
    rows = [(f"{MODEL}, input", "0.00027"), (f"{MODEL}, cached input", "0.00009"), (f"{MODEL}, output", "0.000126")]
    export.write_text(head + "".join(f'{today},{today + DAY},{usd},usd,"{item}"\n' for item, usd in rows), "utf-8")

    code, out, _ = run(home, export)
    export.write_text(head + f"{today},{today + DAY},0.000487,usd,\n", "utf-8")

    assert code == 0, out
    assert any(line.endswith(f"{MODEL} cost_usd 0.000486 0.000486") for line in squeezed(out))
    assert run(home, export)[0] == 1


def test_other_files_are_read_by_their_columns(home: Path, tmp_path: Path) -> None:
    export = tmp_path / "mine.csv"
    export.write_text(f"Day,M,In\n{time.strftime('%Y-%m-%d', time.gmtime())},gpt-4o-mini,3000\n", "utf-8")

    code, out, error = run(home, export, "--columns", "time=Day,model=M,input=In")

    assert (code, error) == (0, ""), out
    assert any(line.endswith("gpt-4o-mini input_tokens 3000 3000") for line in squeezed(out))


def test_requests_are_found_by_their_ids(home: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["events", "--json", "--home", str(home)])
    ids = [event["request_id"] for event in json.loads(result.stdout)]
    export = tmp_path / "mine.csv"
    export.write_text("id,usd\n" + "".join(f"{one},0.000162\n" for one in ids) + f"{'0' * 32},1\n", "utf-8")

    code, out, _ = run(home, export, "--columns", "request=id,cost=usd")

    assert code == 1
    assert sum("cost_usd 0.000162 0.000162" in line for line in squeezed(out)) == 3
    assert any(line.endswith("cost_usd 0 1 -1 not in the ledger") for line in squeezed(out))


def test_requests_that_the_export_lacks_are_told_and_its_own_ids_stay_as_it_writes_them(
    home: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["events", "--json", "--home", str(home)])
    newest, between, oldest = (event["request_id"] for event in json.loads(result.stdout))
    export = tmp_path / "mine.csv"
    known = "".join(f"{uuid.UUID(one)},0.000162\n".upper() for one in (newest, oldest))
    export.write_text("id,usd\n" + known + "Req-1,1\nreq1,2\n", "utf-8")

    code, out, _ = run(home, export, "--columns", "request=id,cost=usd")
    lines = squeezed(out)

    assert code == 1
    assert sum("cost_usd 0.000162 0.000162" in line for line in lines) == 2
    assert any(line.startswith(between) and "cost_usd 0.000162 0 +0.000162 not in the export" in line for line in lines)
    assert [line for line in lines if line.endswith("not in the ledger")] == [
        "Req-1 all cost_usd 0 1 -1 not in the ledger",
        "req1 all cost_usd 0 2 -2 not in the ledger",
    ]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("nonsense", [], "none of those that are known"),
        (
            json.dumps({"data": [{"start_time": 60, "end_time": 120, "results": []}]}),
            ["--provider", "x"],
            "no events of",
        ),
        ("a,b\n1,2\n", ["--columns", "time=a"], "one of"),
        ("start_time,end_time\n", [], "no line to compare"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    home: Path, export: Path, text: str, options: list[str], words: str
) -> None:
    export.write_text(text, "utf-8")

    code, out, error = run(home, export, *options)

    assert (code, out) == (1, "")
    assert words in error


def test_an_export_whose_lines_have_no_figures_does_not_agree(home: Path, export: Path) -> None:
    export.write_text(f"day,m,n\n{time.strftime('%Y-%m-%d', time.gmtime())},gpt-4o-mini\n", "utf-8")

    code, out, error = run(home, export, "--columns", "time=day,model=m,input=n")

    assert (code, out) == (1, "")
    assert "no figure to compare" in error


def test_pages_that_are_missing_are_remarked_on(home: Path, export: Path) -> None:
    export.write_text(json.dumps(usage() | {"has_more": True}), "utf-8")

    assert "It has more pages" in run(home, export)[2]


def test_options_about_an_export_need_one(home: Path) -> None:
    assert CliRunner().invoke(main, ["verify", "--provider", "x", "--home", str(home)]).exit_code == 2
