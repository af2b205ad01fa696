"""Journals become files: in order, whole or not at all, every row there."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollkeeper.bulk import export
from tollkeeper.bulk.records import Record
from tollkeeper.core.errors import CallerError, GateError


def line(index: int, output: object = "fine", error: object = None) -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    row = {
        "index": index,
        "id": None,
        "output": output,
        "error": error,
        "usage": usage,
        "cost_usd": "0.1",
        "attempts": 1,
    }
    return json.dumps(row).encode()


def rows(*values: object) -> list[Record]:
    return [Record(index, index + 1, value) for index, value in enumerate(values)]  # type: ignore[arg-type]


def test_rows_that_were_not_run_stand_in_their_place(tmp_path: Path) -> None:
    details = iter([(1, line(1)), (3, line(3))])
    count = export.write(tmp_path / "o.jsonl", "jsonl", export.joined(rows("a", "b", "c", "d"), details))
    found = [json.loads(text) for text in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert count == 4
    assert [row["index"] for row in found] == [0, 1, 2, 3]
    assert [row["error"] and row["error"]["code"] for row in found] == ["not_run", None, "not_run", None]


def test_rows_that_were_not_run_stand_in_their_place_where_the_input_is_not_read_again(tmp_path: Path) -> None:
    count = export.write_lines(tmp_path / "o.jsonl", 5, iter([(1, line(1)), (3, line(3))]))
    assert count == 5
    details = iter([(1, line(1)), (3, line(3))])
    export.write(tmp_path / "same.jsonl", "jsonl", export.joined(rows("a", "b", "c", "d", "e"), details))
    assert (tmp_path / "o.jsonl").read_bytes() == (tmp_path / "same.jsonl").read_bytes()


def test_csv_has_the_inputs_columns_and_the_answers(tmp_path: Path) -> None:
    given = rows({"id": "1", "output": "mine"}, {"id": "2", "output": "x"})
    details = iter([(0, line(0, 'a "quoted"\nline')), (1, line(1, {"n": 1}, {"code": "bad"}))])
    export.write(tmp_path / "o.csv", "csv", export.joined(given, details), ["id", "output"])
    with (tmp_path / "o.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert found[0]["output"] == "mine"
    assert found[0]["output_"] == 'a "quoted"\nline'
    assert found[1]["output_"] == '{"n":1}'
    assert found[1]["error"] == '{"code":"bad"}'
    assert (found[0]["input_tokens"], found[0]["output_tokens"], found[0]["cost_usd"]) == ("3", "2", "0.1")


def test_rows_with_columns_of_their_own_lose_none_and_a_broken_first_row_takes_none_along(tmp_path: Path) -> None:
    given = rows(None, {"a": "1"}, "text", {"b": 2, "output": "x", "output_": "y"})
    names = export.columns(given, alike=False)
    assert names == ["a", "prompt", "b", "output", "output_"]
    details = [(index, line(index)) for index in range(4)]

    export.write(tmp_path / "o.csv", "csv", export.joined(given, iter(details)), names)
    with (tmp_path / "o.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [[row[name] for name in (*names, "output__")] for row in found] == [
        ["", "", "", "", "", "fine"],
        ["1", "", "", "", "", "fine"],
        ["", "text", "", "", "", "fine"],
        ["", "", "2", "x", "y", "fine"],
    ]

    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    export.write(tmp_path / "o.parquet", "parquet", export.joined(given, iter(details)), names)
    table = parquet.read_table(tmp_path / "o.parquet").to_pylist()
    assert [[row[name] for name in (*names, "output__")] for row in table] == [
        [None, None, None, None, None, "fine"],
        ["1", None, None, None, None, "fine"],
        [None, "text", None, None, None, "fine"],
        [None, None, 2, "x", "y", "fine"],
    ]


def test_where_rows_are_alike_the_first_with_values_has_all_columns() -> None:
    def given() -> Iterator[Record]:
        yield Record(0, 1, None)
        yield Record(1, 2, {"a": "1", "b": "2"})
        raise AssertionError("no more is read")

    assert export.columns(given(), alike=True) == ["a", "b"]


def test_formulas_are_escaped_when_asked(tmp_path: Path) -> None:
    for escape, expected in ((False, "=cmd()"), (True, "'=cmd()")):
        export.write(
            tmp_path / "o.csv",
            "csv",
            export.joined(rows("p"), iter([(0, line(0, "=cmd()"))])),
            ["prompt"],
            escape=escape,
        )
        with (tmp_path / "o.csv").open(newline="") as stream:
            assert next(csv.DictReader(stream))["output"] == expected


def test_parquet_keeps_types_and_holds_what_begins_as_null(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    given = rows(*({"n": number, "tags": ["a"], "late": None if number < 1500 else "here"} for number in range(1600)))
    details = iter([(index, line(index, None if index < 1200 else "x")) for index in range(1600)])
    assert export.write(tmp_path / "o.parquet", "parquet", export.joined(given, details), ["n", "tags", "late"]) == 1600
    found = parquet.read_table(tmp_path / "o.parquet").to_pylist()
    assert found[7]["n"] == 7
    assert found[7]["tags"] == ["a"]
    assert found[1599]["late"] == "here"
    assert found[1599]["output"] == "x"


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text("before")

    def broken() -> export.Rows:
        yield Record(0, 1, "a"), line(0)
        raise RuntimeError("in the midst")

    with pytest.raises(RuntimeError):
        export.write(path, "jsonl", broken())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="cannot be written"):
        export.write(tmp_path / "none" / "o.jsonl", "jsonl", iter(()))


def test_the_kind_comes_from_the_suffix_or_is_asked_for(tmp_path: Path) -> None:
    assert export.kind_of(Path("a.csv"), None) == "csv"
    assert export.kind_of(Path("a.txt"), "jsonl") == "jsonl"
    with pytest.raises(CallerError, match="--output-format"):
        export.kind_of(Path("a.txt"), None)
