"""Texts whose values are counted before they are read: a megabyte of JSON, XML or a form becomes two hundred of objects."""

from typing import Any
from urllib.parse import parse_qsl

from tollkeeper.wire import json_text


class TooMany(ValueError):
    """It has more values than may be read. `str()` is fit for the caller."""


def json_value(text: bytes, most: int) -> Any:
    """Whatever JSON it is. Commas in its strings count as well. Raises TooMany, and BadJson."""
    check_values(text, most)
    return json_text.value(text)


def check_values(text: bytes, most: int) -> None:
    """Values of JSON. Raises TooMany."""
    if len(text) > most:
        _check(text.count(b",") + text.count(b"[") + text.count(b"{"), most, "values")


def form_fields(text: str, most: int) -> list[tuple[str, str]]:
    """The fields of a form that is encoded as in a URL, in their order, also the empty ones. Raises TooMany."""
    _check(text.count("&") + 1, most, "fields")
    return parse_qsl(text, keep_blank_values=True)


def check_elements(text: str, most: int) -> None:
    """Elements and attributes of XML. Raises TooMany."""
    if len(text) > most:
        _check(text.count("<") + text.count("="), most, "elements")


def _check(count: int, most: int, what: str) -> None:
    if count > most:
        raise TooMany(f"it has more than {most} {what}")
