"""Input files to records, a piece at a time: JSON lines, CSV, Parquet, or standard input; memory stays flat.

A line that cannot be read is a record with a problem, so that it has its place in the output. Blank lines are no rows.
Rows whose values nobody wants (they have ended, or are only counted) are passed over without being read into.
"""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from tollkeeper.bulk.records import Record
from tollkeeper.core.errors import CallerError

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes; a longer line is a broken row, and is skipped without being kept."""
_BOM = b"\xef\xbb\xbf"
_PIECE = 1024 * 1024
_decode = msgspec.json.Decoder().decode

Wanted = Callable[[int], bool]
"""Whether the value of the row of that index is needed; without it a record has its place and nothing else."""
Reader = Callable[[BinaryIO, Wanted], Iterator[Record]]


def every(index: int) -> bool:
    """All rows are wanted."""
    return True


def none(index: int) -> bool:
    """Rows are only counted."""
    return False


def records(path: Path | None, kind: str | None = None, wanted: Wanted = every) -> Iterator[Record]:
    """The records of a file, or of standard input where `path` is None.

    `kind` is jsonl, csv or parquet; where None, the file's suffix says it, and standard input is JSON lines.
    Raises CallerError where the file cannot be opened, or is as a whole not of that kind.
    """
    found = kind or ("jsonl" if path is None else _SUFFIXES.get(path.suffix.lower()))
    if found is None:
        raise CallerError(
            f"{path}: its suffix does not tell what it is; say --format jsonl, csv or parquet.", code="unknown_format"
        )
    try:
        stream = sys.stdin.buffer if path is None else path.open("rb")
    except OSError as error:
        raise CallerError(f"{path}: {error.strerror}.", code="input_unreadable") from None
    with stream:
        yield from READERS[found](stream, wanted)


def alike(path: Path, kind: str | None = None) -> bool:
    """Whether all rows of the file have the same columns: those of JSON lines may each have others."""
    return (kind or _SUFFIXES.get(path.suffix.lower())) != "jsonl"


def count(path: Path, kind: str | None = None) -> int:
    """How many rows there are, for showing: quick, and of JSON lines not exact where blank ones have spaces in them.

    Raises CallerError as `records` does.
    """
    if alike(path, kind):
        return sum(1 for _ in records(path, kind, none))
    lines, last = 0, b"\n"
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            lines += piece.count(b"\n") - piece.count(b"\n\n") - piece.count(b"\n\r\n")
            last = piece[-1:]
    return lines + (last != b"\n")


def may_name(path: Path, kind: str | None, column: str) -> bool:
    """Whether rows of the file may have a column of that name: quick, and of JSON lines by their bytes alone.

    Raises CallerError as `records` does.
    """
    if alike(path, kind):
        first = next((record for record in records(path, kind) if isinstance(record.value, dict)), None)
        return first is not None and isinstance(first.value, dict) and column in first.value
    sought, last = msgspec.json.encode(column), b""
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                if sought in last + piece:
                    return True
                last = piece[-len(sought) :]
    except OSError as error:
        raise CallerError(f"{path}: {error.strerror}.", code="input_unreadable") from None
    return False


def json_lines(stream: BinaryIO, wanted: Wanted = every) -> Iterator[Record]:
    """One JSON string or object a line; CRLF, a BOM and a missing last line end do not matter."""
    index = 0
    for line, text in enumerate(iter(partial(stream.readline, LONGEST_LINE + 1), b""), 1):
        if line == 1:
            text = text.removeprefix(_BOM)
        if len(text) > LONGEST_LINE and not text.endswith(b"\n"):
            while (rest := stream.readline(_PIECE)) and not rest.endswith(b"\n"):
                pass
            yield Record(index, line, None, f"line {line} is longer than {LONGEST_LINE} bytes")
        elif not text or text.isspace():
            continue
        elif wanted(index):
            yield _json_record(index, line, text)
        else:
            yield Record(index, line, None)
        index += 1


def _json_record(index: int, line: int, text: bytes) -> Record:
    try:
        value = _decode(text)
    except UnicodeDecodeError:
        return Record(index, line, None, f"line {line} is not UTF-8")
    except msgspec.DecodeError as error:
        return Record(index, line, None, f"line {line} is not JSON: {error}")
    except RecursionError:
        return Record(index, line, None, f"line {line} is nested too deeply")
    if isinstance(value, (str, dict)):
        return Record(index, line, value)
    return Record(index, line, None, f"line {line} is neither a string nor an object")


def comma_separated(stream: BinaryIO, wanted: Wanted = every) -> Iterator[Record]:
    """CSV with a header (RFC 4180); every value is text. A row of another length than the header is broken.

    Raises CallerError where the header is missing, not UTF-8 or names a column twice.
    """
    csv.field_size_limit(LONGEST_LINE)
    with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text:
        yield from _csv_records(text, wanted)


def _csv_records(text: Iterable[str], wanted: Wanted) -> Iterator[Record]:
    rows = csv.reader(text, strict=True)
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise CallerError(f"The header is not valid CSV: {error}.", code="input_unreadable") from None
    if not header:
        raise CallerError("The file has no header line.", code="input_unreadable")
    if any(not name.isprintable() for name in header):
        raise CallerError("The header is not UTF-8.", code="input_unreadable")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise CallerError(f"The header names {', '.join(twice)} twice.", code="input_unreadable")
    index = 0
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(index, line, None, f"line {line} is not valid CSV: {error}")
            index += 1
            continue
        if not row:
            continue
        yield _csv_record(index, line, header, row) if wanted(index) else Record(index, line, None)
        index += 1


def _csv_record(index: int, line: int, header: list[str], row: list[str]) -> Record:
    if len(row) != len(header):
        cells = [cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for cell in row]
        return Record(
            index,
            line,
            dict.fromkeys(header) | dict(zip(header, cells, strict=False)),
            f"line {line} has {len(row)} columns, the header {len(header)}",
            msgspec.json.encode(cells).decode(),
        )
    try:
        for value in row:
            value.encode("utf-8")
    except UnicodeEncodeError:
        return Record(index, line, None, f"line {line} is not UTF-8")
    return Record(index, line, dict(zip(header, row, strict=True)))


def parquet(stream: BinaryIO, wanted: Wanted = every) -> Iterator[Record]:
    """Apache Parquet, a thousand rows at a time; nested columns are JSON values. Needs the extra `parquet`."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise CallerError("Parquet needs the extra: pip install 'tollkeeper[parquet]'.", code="extra_missing") from None
    try:
        file = ParquetFile(stream)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise CallerError("Two columns of the file have one name.", code="input_unreadable")
        index = 0
        for batch in file.iter_batches(1000):
            rows: Iterable[dict[str, Any] | None] = repeat(None, batch.num_rows)
            if any(wanted(index + number) for number in range(batch.num_rows)):
                rows = batch.to_pylist()
            for row in rows:
                yield Record(index, index + 1, row if wanted(index) else None)
                index += 1
    except ArrowException as error:
        raise CallerError(f"The file is not valid Parquet: {error}.", code="input_unreadable") from None


READERS: dict[str, Reader] = {"jsonl": json_lines, "csv": comma_separated, "parquet": parquet}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
