"""Input files with everything that files have: each row has its place, each broken one its reason."""

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tollkeeper.bulk import reading
from tollkeeper.bulk.records import Record
from tollkeeper.core.errors import CallerError


def json_lines(data: bytes) -> list[Record]:
    return list(reading.json_lines(io.BytesIO(data)))


def csv(data: bytes) -> list[Record]:
    return list(reading.comma_separated(io.BytesIO(data)))


@pytest.mark.row(83)
def test_strings_and_objects_are_rows_and_blank_lines_are_none() -> None:
    found = json_lines(b'"one"\n\n{"prompt":"two"}\r\n   \n"three"')
    assert [(row.index, row.line, row.value) for row in found] == [
        (0, 1, "one"),
        (1, 3, {"prompt": "two"}),
        (2, 5, "three"),
    ]


@pytest.mark.row(83)
def test_a_byte_order_mark_is_not_part_of_the_first_row() -> None:
    assert json_lines(b'\xef\xbb\xbf"one"\n')[0].value == "one"


@pytest.mark.row(83)
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"not json", "line 2 is not JSON"),
        (b'{"a": 1', "line 2 is not JSON"),
        (b"[1]", "line 2 is neither a string nor an object"),
        (b"17", "line 2 is neither a string nor an object"),
        (b'"\xff\xfe"', "line 2 is not UTF-8"),
        (b"[" * 100_000, "line 2 is"),
    ],
)
def test_a_broken_line_is_a_row_with_its_reason(line: bytes, problem: str) -> None:
    found = json_lines(b'"before"\n' + line + b'\n"after"\n')
    assert [row.index for row in found] == [0, 1, 2]
    assert found[1].value is None
    assert found[1].problem is not None
    assert found[1].problem.startswith(problem)
    assert found[2].value == "after"


@pytest.mark.row(83)
def test_a_line_that_is_too_long_is_skipped_without_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    stream = io.BytesIO(b'"a"\n"' + b"x" * 20_000_000 + b'"\n"b"\n')
    tracemalloc.start()
    found = list(reading.json_lines(stream))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000
    assert [row.value for row in found] == ["a", None, "b"]
    assert found[1].problem == "line 2 is longer than 1000 bytes"


@pytest.mark.row(84)
def test_csv_has_quotes_commas_and_line_ends_in_its_fields() -> None:
    found = csv(b'id,text\r\n1,"a, ""b""\nc"\r\n2,d\r\n')
    assert [row.value for row in found] == [{"id": "1", "text": 'a, "b"\nc'}, {"id": "2", "text": "d"}]
    assert [row.line for row in found] == [2, 4]


@pytest.mark.row(84)
@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"1,2,3", "line 2 has 3 columns, the header 2"),
        (b"1", "line 2 has 1 columns, the header 2"),
        (b"1,\xff", "line 2 is not UTF-8"),
    ],
)
def test_a_ragged_or_garbled_csv_row_is_broken_and_the_next_is_not(row: bytes, problem: str) -> None:
    found = csv(b"a,b\n" + row + b"\nx,y\n")
    assert found[0].problem == problem
    assert found[1].value == {"a": "x", "b": "y"}


@pytest.mark.row(84)
@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "no header"), (b"a,b,a\n1,2,3\n", "names a twice"), (b"\xff,b\n1,2\n", "not UTF-8")],
)
def test_a_csv_without_a_usable_header_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        csv(data)


@pytest.mark.row(84)
def test_parquet_rows_are_columns_nested_ones_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    rows: list[dict[str, Any]] = [
        {"id": number, "text": f"row {number}", "tags": ["a", None], "more": {"x": number}} for number in range(2500)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=700)
    found = list(reading.records(tmp_path / "in.parquet"))
    assert [row.value for row in found] == rows


@pytest.mark.row(84)
def test_parquet_has_nulls_long_texts_and_numbers_as_they_are(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    columns = {
        "text": pyarrow.array(["x" * 3_000_000, None, "Grüße 😀"], pyarrow.large_string()),
        "nothing": pyarrow.nulls(3),
        "few": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
        "number": pyarrow.array([2**62, None, -1], pyarrow.int64()),
        "flag": pyarrow.array([True, None, False]),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "in.parquet", row_group_size=1)
    assert [row.value for row in reading.records(tmp_path / "in.parquet")] == [
        {"text": "x" * 3_000_000, "nothing": None, "few": "a", "number": 2**62, "flag": True},
        {"text": None, "nothing": None, "few": "b", "number": None, "flag": None},
        {"text": "Grüße 😀", "nothing": None, "few": "a", "number": -1, "flag": False},
    ]


@pytest.mark.row(84)
def test_a_parquet_file_of_no_rows_has_none_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "none.parquet")
    assert list(reading.records(tmp_path / "none.parquet")) == []
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 this is not")
    with pytest.raises(CallerError, match="not valid Parquet"):
        list(reading.records(tmp_path / "bad.parquet"))


def test_a_file_that_is_not_there_or_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="No such file"):
        list(reading.records(tmp_path / "missing.jsonl"))
    with pytest.raises(CallerError, match="--format"):
        list(reading.records(tmp_path / "prompts.data"))


def test_a_million_rows_are_read_a_piece_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"".join(json.dumps({"prompt": f"p {n}"}).encode() + b"\n" for n in range(2000)))
    rows = reading.records(path)
    assert next(rows).index == 0
    assert sum(1 for _ in rows) == 1999


def test_rows_are_counted_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    for text, rows in ((b"", 0), (b'"a"\n"b"', 2), (b'"a"\n\n"b"\r\n\r\n"c"\n', 3)):
        path.write_bytes(text)
        assert reading.count(path) == rows
    (tmp_path / "in.csv").write_bytes(b'a\n"x\ny"\nz\n')
    assert reading.count(tmp_path / "in.csv") == 2


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_that_nobody_wants_keep_their_places_and_are_not_read_into(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"in.{kind}"
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": [f"row {number}" for number in range(2500)]}), path)
    else:
        text = b"not json\n" + b'"row"\n' * 2499 if kind == "jsonl" else b"text\n" + b"row\n" * 2500
        path.write_bytes(text)
    rows = list(reading.records(path, None, lambda index: index == 2200))
    assert [row.index for row in rows] == list(range(2500))
    assert [row.index for row in rows if row.value is not None] == [2200]
    assert all(row.problem is None for row in rows)
