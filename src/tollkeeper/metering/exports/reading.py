"""Finds out what an export is by what is in it, and reads it line by line."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec

from tollkeeper.metering.exports import anthropic, columns, openai, openrouter
from tollkeeper.metering.exports.lines import Export, Line, unreadable

Row = Mapping[str, str]
_CSV: tuple[tuple[frozenset[str], str, str, Callable[[Row], Line]], ...] = (
    (openrouter.GENERATION_COLUMNS, "openrouter generations", "openrouter", openrouter.of_generation),
    (openrouter.DAY_COLUMNS, "openrouter activity", "openrouter", openrouter.of_day),
    (anthropic.CSV_COLUMNS, "anthropic usage", "anthropic", anthropic.of_row),
    (openai.USAGE_COLUMNS, "openai usage", "openai", openai.of_row),
)
_KNOWN = (
    "OpenAI's usage and costs (JSON and CSV), Anthropic's usage and cost reports (JSON) and usage (CSV), OpenRouter's "
    "activity (JSON and CSV); for other CSV files say --columns"
)


def read(path: Path, mapped: Mapping[str, str] | None = None) -> Export:
    """The export in `path`; with a map, any CSV. Raises CallerError, also while its lines are read."""
    try:
        with path.open("rb") as file:
            begin = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise unreadable(str(error.strerror)) from None
    if not begin:
        raise unreadable("it is empty")
    if mapped is None and begin[:1] in (b"{", b"["):
        return _json(path)
    return _csv(path, mapped)


def _json(path: Path) -> Export:
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        found = msgspec.json.decode(text)
        pages = found if isinstance(found, list) else [found]
    except msgspec.DecodeError as whole:
        try:
            pages = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        except msgspec.DecodeError:
            raise unreadable(f"it is not JSON: {whole}") from None
    if not pages or not all(isinstance(page, dict) for page in pages):
        raise unreadable(f"it is none of those that are known: {_KNOWN}")
    filled = next((page for page in pages if page.get("data")), pages[0])
    remarks = ["It has more pages than are in it: the last one says so."] if pages[-1].get("has_more") else []
    for reader, kind, provider in (
        (openai, openai.kind_of, "openai"),
        (anthropic, anthropic.kind_of, "anthropic"),
        (openrouter, lambda page: "openrouter activity", "openrouter"),
    ):
        if reader.is_page(filled):
            return Export(kind(filled), provider, _guarded(_of_pages(pages, reader.of_page)), remarks)
    raise unreadable(f"it is none of those that are known: {_KNOWN}")


def _of_pages(pages: list[dict[str, Any]], of_page: Callable[[Mapping[str, Any]], Iterator[Line]]) -> Iterator[Line]:
    for page in pages:
        if page.get("data"):
            yield from of_page(page)


def _csv(path: Path, mapped: Mapping[str, str] | None) -> Export:
    file = path.open(encoding="utf-8-sig", newline="")
    try:
        header = file.readline()
        delimiter = max(",;\t", key=header.count)
        names = frozenset(next(csv.reader([header], delimiter=delimiter), []))
    except (UnicodeDecodeError, csv.Error) as error:
        file.close()
        raise unreadable(f"it is no text: {error}") from None
    file.seek(0)
    if mapped is not None:
        missing = sorted(set(mapped.values()) - names)
        if missing:
            file.close()
            raise unreadable(f"it has no column {', '.join(missing)}; it has {', '.join(sorted(names))}")
        return Export("columns", None, _guarded(_rows(file, delimiter, lambda row: columns.of_row(row, mapped))))
    for wanted, format, provider, of_row in _CSV:
        if wanted <= names:
            costs = format == "openai usage" and "amount_value" in names
            return Export("openai costs" if costs else format, provider, _guarded(_rows(file, delimiter, of_row)))
    file.close()
    raise unreadable(f"it is none of those that are known: {_KNOWN}")


def _rows(file: TextIO, delimiter: str, of_row: Callable[[Row], Line]) -> Iterator[Line]:
    with file:
        for row in csv.DictReader(file, delimiter=delimiter, restval=""):
            if any(isinstance(value, str) and value.strip() for value in row.values()):
                yield of_row(row)


def _guarded(lines: Iterator[Line]) -> Iterator[Line]:
    """What is not as its format has it is told with the number of the line."""
    number = 0
    try:
        for line in lines:
            number += 1
            yield line
    except (KeyError, TypeError, AttributeError, csv.Error, UnicodeDecodeError) as error:
        raise unreadable(f"after {number} good lines: {type(error).__name__} {error}") from None
