"""What others wrote, as a terminal may be shown it: no text moves the cursor, hides what stands there, or speaks to it."""

import re
from collections.abc import Mapping
from typing import Any

import click
import msgspec

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    """Without what a terminal would act on, but for tabs and line feeds."""
    return _CONTROLS.sub("", text)


def line(text: str) -> str:
    """The same, in one line."""
    return plain(text).replace("\n", " ")


def nothing(text: str) -> None:
    """Says on standard error that there is nothing to list: what is read from standard output stays empty."""
    click.echo(text, err=True)


def resource(kind: str, id: str, value: Mapping[str, Any]) -> str:
    """A route, consumer, upstream, … in a line: what it is called, what it takes, its plugins by name, where it leads."""
    paths = value.get("uris") or ([value["uri"]] if "uri" in value else [])
    parts = [f"{kind}/{id}", " ".join(value.get("methods", ())), " ".join(paths), value.get("username", "")]
    if value.get("plugins"):
        parts.append("[" + ", ".join(value["plugins"]) + "]")
    nodes = (value.get("upstream") or value).get("nodes")
    if nodes:
        parts.append("-> " + msgspec.json.encode(nodes).decode())
    return line("  ".join(part for part in parts if part))
