"""An export is known by what is in it; what is not one, or breaks off, is told with its place."""

import json
from pathlib import Path

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports import columns, reading

OPENAI = {
    "object": "page",
    "data": [{"start_time": 60, "end_time": 120, "results": [{"input_tokens": 1, "output_tokens": 2}]}],
    "has_more": False,
}
ANTHROPIC = {"data": [{"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": []}]}
KNOWN = [
    (json.dumps(OPENAI), "openai usage", "openai", 2),
    (json.dumps([OPENAI, OPENAI]), "openai usage", "openai", 4),
    (json.dumps(OPENAI) + "\n" + json.dumps(OPENAI) + "\n", "openai usage", "openai", 4),
    ("\ufeff" + json.dumps(ANTHROPIC), "anthropic usage", "anthropic", 1),
    (json.dumps({"data": [{"date": "2025-08-24", "usage": 1}]}), "openrouter activity", "openrouter", 1),
    ("start_time,end_time,input_tokens\n60,120,5\n", "openai usage", "openai", 1),
    ("start_time\tend_time\tamount_value\tamount_currency\r\n60\t120\t0.5\tusd\r\n", "openai costs", "openai", 1),
    ("\ufeffusage_date_utc;model_version;usage_output_tokens\n2025-01-01;c;5\n\n", "anthropic usage", "anthropic", 1),
    (
        "generation_id,created_at,cost_total,model_permaslug\nx,2025-01-01,1,m\n",
        "openrouter generations",
        "openrouter",
        1,
    ),
    ("Date,Slug,Usage\n2025-01-01,m,1\n", "openrouter activity", "openrouter", 1),
]


@pytest.mark.parametrize(("text", "format", "provider", "lines"), KNOWN)
def test_every_known_export_is_recognised(tmp_path: Path, text: str, format: str, provider: str, lines: int) -> None:
    (tmp_path / "export").write_text(text, "utf-8")

    export = reading.read(tmp_path / "export")

    assert (export.format, export.provider, len(list(export.lines))) == (format, provider, lines)
    assert export.remarks == []


def test_pages_that_are_missing_are_remarked_on(tmp_path: Path) -> None:
    (tmp_path / "export").write_text(json.dumps(OPENAI | {"has_more": True}), "utf-8")

    assert reading.read(tmp_path / "export").remarks == ["It has more pages than are in it: the last one says so."]


def test_any_csv_can_be_read_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "export").write_text('when,"a, b"\n2025-01-01,"1,000"\n', "utf-8")
    mapped = columns.parsed("time=when,input=a") | {"input": "a, b"}

    [line] = reading.read(tmp_path / "export", mapped).lines

    assert line.input_tokens == 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("{", "it is not JSON"),
        ("[1]", "none of those that are known"),
        ('{"data": [{"x": 1}]}', "none of those that are known"),
        ("a,b\n1,2\n", "none of those that are known"),
        ("\x00\xff", "it is no text"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "export").write_text(text, "latin-1")

    with pytest.raises(CallerError, match=words):
        list(reading.read(tmp_path / "export").lines)


@pytest.mark.parametrize(
    "text",
    [
        "start_time,end_time,input_tokens\n60,120,5\nsoon,120,5\n",
        "start_time,end_time,input_tokens\n60,120,5\n60,120,many\n",
        json.dumps({"data": [{"start_time": 60, "end_time": 120, "results": [7]}]}),
        json.dumps({"data": [{"start_time": 60}]}),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "export").write_text(text, "utf-8")

    with pytest.raises(CallerError, match="The export cannot be read"):
        list(reading.read(tmp_path / "export").lines)


def test_a_file_that_is_not_there_and_a_column_that_is_not_are_told(tmp_path: Path) -> None:
    (tmp_path / "export").write_text("a,b\n1,2\n", "utf-8")

    with pytest.raises(CallerError, match="No such file"):
        reading.read(tmp_path / "none")
    with pytest.raises(CallerError, match="it has no column c; it has a, b"):
        reading.read(tmp_path / "export", {"time": "a", "cost": "c"})
