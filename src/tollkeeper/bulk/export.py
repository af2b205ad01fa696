"""The journal becomes the output file, in input order: JSON lines, CSV or Parquet, whole or not at all.

Rule 1: every input row has exactly one output row; one that was not run says so.
Rule 2: the file appears under its name only when it is complete and on disk; what was there before stays until then.
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from tollkeeper.bulk.records import Record
from tollkeeper.bulk.results import FIELDS, missing_line
from tollkeeper.core.errors import CallerError, GateError

KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_BATCH = 1000
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

Rows = Iterator[tuple[Record, bytes]]
"""Each input row and its output line, in order."""


def kind_of(path: Path, given: str | None) -> str:
    """jsonl, csv or parquet. Raises CallerError where neither `given` nor the suffix says it."""
    found = given or KINDS.get(path.suffix.lower())
    if found is None:
        raise CallerError(
            f"{path}: say with --output-format whether it is jsonl, csv or parquet.", code="unknown_format"
        )
    return found


def joined(records: Iterable[Record], details: Iterator[tuple[int, bytes]]) -> Rows:
    """Input rows with what the journal says of them."""
    index, line = next(details, (-1, b""))
    for record in records:
        if record.index == index:
            yield record, line
            index, line = next(details, (-1, b""))
        else:
            yield record, missing_line(record.index)


def columns(records: Iterable[Record], *, alike: bool) -> list[str]:
    """The input's columns, in the order in which they come up; where rows are `alike`, those of the first with values."""
    names: dict[str, None] = {}
    for record in records:
        if isinstance(record.value, dict):
            names.update(dict.fromkeys(record.value))
        elif isinstance(record.value, str):
            names["prompt"] = None
        if alike and names:
            break
    return list(names)


def write(path: Path, kind: str, rows: Rows, names: Sequence[str] = (), *, escape: bool = False) -> int:
    """Writes the file and returns how many rows it has; in CSV and Parquet, `names` are the input's columns.

    `escape` keeps spreadsheets from running a CSV's cells as formulas.
    Raises GateError where it cannot be written, CallerError where the extra for its kind is missing.
    """
    return _whole(path, lambda stream: _WRITERS[kind](stream, rows, names, escape))


def write_lines(path: Path, rows: int, details: Iterator[tuple[int, bytes]]) -> int:
    """Writes JSON lines from the journal alone, where the input is known to have so many rows: it is not read again.

    Raises GateError where the file cannot be written.
    """

    def lines() -> Iterator[bytes]:
        at = 0
        for index, line in details:
            while at < index:
                yield missing_line(at) + b"\n"
                at += 1
            yield line + b"\n"
            at = index + 1
        for index in range(at, rows):
            yield missing_line(index) + b"\n"

    def write(stream: BinaryIO) -> int:
        stream.writelines(lines())
        return rows

    return _whole(path, write)


def _whole(path: Path, write: Callable[[BinaryIO], int]) -> int:
    temporary = path.with_name(
        f".{path.name}.tmp"
    )  # one name: what a crash left is overwritten; one job runs at a time
    try:
        with temporary.open("wb") as stream:
            count = write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise GateError(f"{path} cannot be written: {error.strerror}.", code="output_unwritable") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return count


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json_lines(stream: BinaryIO, rows: Rows, names: Sequence[str], escape: bool) -> int:
    count = 0
    for _, line in rows:
        stream.write(line + b"\n")
        count += 1
    return count


def _csv(stream: BinaryIO, rows: Rows, names: Sequence[str], escape: bool) -> int:
    text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([*names, *_added(names)])
    count = 0
    for record, line in rows:
        cells = [_cell(value) for value in (*_given(record, names), *_answer(line).values())]
        writer.writerow([f"'{cell}" if escape and cell.startswith(_DANGEROUS) else cell for cell in cells])
        count += 1
    text.flush()
    text.detach()
    return count


def _parquet(stream: BinaryIO, rows: Rows, names: Sequence[str], escape: bool) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise CallerError("Parquet needs the extra: pip install 'tollkeeper[parquet]'.", code="extra_missing") from None
    count, writer, schema = 0, None, None
    every = [*names, *_added(names)]
    for batch in _batches(rows):
        rows_of = [
            dict(zip(every, (*_given(record, names), *_answer(line).values()), strict=True)) for record, line in batch
        ]
        if writer is None:
            schema = pyarrow.Table.from_pylist(rows_of).schema
            for number, field in enumerate(schema):
                if pyarrow.types.is_null(field.type):  # nothing in the first rows says what it is; text holds anything
                    schema = schema.set(number, field.with_type(pyarrow.string()))
            writer = ParquetWriter(stream, schema)
        assert schema is not None
        texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
        for row in rows_of:
            row.update({name: _text(row.get(name)) for name in texts})
        try:
            writer.write_table(pyarrow.Table.from_pylist(rows_of, schema=schema))
        except pyarrow.ArrowException as error:
            raise CallerError(
                f"A column's type differs between rows, which Parquet cannot hold: {error}. Write jsonl or csv.",
                status=503,
                code="output_unwritable",
            ) from None
        count += len(batch)
    if writer is None:
        schema = pyarrow.schema([(name, pyarrow.string()) for name in every])
        writer = ParquetWriter(stream, schema)
    writer.close()
    return count


def _batches(rows: Rows) -> Iterator[list[tuple[Record, bytes]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _given(record: Record, names: Sequence[str]) -> list[Any]:
    """The input's own values of the columns; None where the row has none."""
    value = record.value
    given = {"prompt": value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    return [given.get(name) for name in names]


def _answer(line: bytes) -> dict[str, Any]:
    """The columns that are added; what is not text becomes JSON, so that a column has one type."""
    found = _decode(line)
    usage = found["usage"] or {}
    return {
        "output": _text(found["output"]),
        "error": _text(found["error"]),
        "input_tokens": _tokens(usage, "prompt_tokens", "input_tokens"),
        "output_tokens": _tokens(usage, "completion_tokens", "output_tokens"),
        "cost_usd": found["cost_usd"],
        "attempts": found["attempts"],
    }


_ADDED = ("output", "error", "input_tokens", "output_tokens", "cost_usd", "attempts")
assert set(FIELDS) >= {"output", "error", "cost_usd", "attempts"}


def _added(names: Sequence[str]) -> list[str]:
    """The added columns' names, with as many underscores as it takes where the input has such a column already."""
    added = []
    for name in _ADDED:
        while name in names:
            name += "_"
        added.append(name)
    return added


def _tokens(usage: dict[str, Any], *names: str) -> int | None:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), None)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _encode(value).decode()


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _encode(value).decode()


_WRITERS: dict[str, Callable[[BinaryIO, Rows, Sequence[str], bool], int]] = {
    "jsonl": _json_lines,
    "csv": _csv,
    "parquet": _parquet,
}
