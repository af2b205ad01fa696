"""The tables of the docs have everything that the code has: fields and defaults, error codes, events, metrics, rooms."""

import ast
import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from kit.gate import GateProcess
from tollkeeper.cli import options
from tollkeeper.config import Config
from tollkeeper.core import errors, events
from tollkeeper.core.events import Event
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.reports import GROUPS
from tollkeeper.upstream import failures

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "tollkeeper"


def page(name: str) -> str:
    """The text of docs/NAME.md."""
    return (ROOT / "docs" / f"{name}.md").read_text("utf-8")


def first_cells(text: str) -> set[str]:
    """Every `name` in the first column of a page's tables."""
    return {name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}


# --- configure ------------------------------------------------------------------------------------------------------


def tables(kind: Any, name: str = "", instance: Any = None) -> Iterator[tuple[str, str, Any]]:
    """(table, field, default) of every field of the config, tables below tables too."""
    for field in msgspec.structs.fields(kind):
        inner = getattr(field.type, "__origin__", None)
        below = f"{name}.{field.name}".lstrip(".")
        structs = [part for part in (field.type, *get_args(field.type)) if isinstance(part, type)]
        found = [part for part in structs if issubclass(part, msgspec.Struct)]
        if found:
            whole = field.default if isinstance(field.default, found[0]) else None
            yield from tables(found[0], f"{below}.NAME" if inner is dict else below, whole)
        elif field.required:
            yield name, field.name, "required"
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            yield name, field.name, default if instance is None else getattr(instance, field.name)


CONFIG = list(tables(Config))


@pytest.mark.parametrize(("table", "field", "default"), CONFIG, ids=[f"{table}.{field}" for table, field, _ in CONFIG])
def test_a_field_of_the_config_is_explained_with_its_default(table: str, field: str, default: Any) -> None:
    sections = {part.partition("\n")[0]: part for part in page("configure").split("\n## ")}

    [shown] = re.findall(rf"^\| `{field}` \| (.*?) \| .+ \|$", sections[f"[{table}]"], re.MULTILINE)

    if shown in ("required", "none"):
        assert default == ("required" if shown == "required" else None)
    else:
        found = tomllib.loads(f"value = {shown.strip('`')}", parse_float=Decimal)["value"]
        assert (float(found) if isinstance(default, float) else found) == default


def test_the_config_page_explains_nothing_else() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", page("configure"), re.MULTILINE)

    assert sorted(explained) == sorted(field for _, field, _ in CONFIG)
    assert ("providers.NAME.timeouts", "first_byte", 600.0) in CONFIG


# --- errors ---------------------------------------------------------------------------------------------------------


def codes() -> set[tuple[str, int]]:
    """Code and status of every error that the source raises, as far as they stand in it."""
    found = {(code, status) for _, status, code, _ in failures._TABLE}
    found |= {(kind.code, kind.status) for kind in (errors.GateError, errors.UpstreamError) if kind.code}
    for path in SOURCE.rglob("*.py"):
        if "code=" not in (text := path.read_text("utf-8")):  # few have it, and to read a syntax tree takes long
            continue
        for call in ast.walk(ast.parse(text)):
            if not isinstance(call, ast.Call) or not any(keyword.arg == "code" for keyword in call.keywords):
                continue
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            kind = getattr(errors, ast.unparse(call.func), None)
            if kind is not None and given["code"].startswith("'"):
                status = given.get("status", str(kind.status))
                found.add((given["code"].strip("'"), int(status)))
    return found - {("internal_error", 503)}  # raised while an answer is written: nobody can be told


def test_every_error_is_explained() -> None:
    text = page("errors")
    explained = {
        (code, int(status))
        for code, statuses in re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| .+ \|$", text, re.MULTILINE)
        for status in statuses.split(", ")
    }

    assert len(raised := codes()) > 40
    assert raised - explained == set()


def test_every_code_in_the_source_was_seen() -> None:
    """By plain search: what the syntax tree's reading misses would be missed silently."""
    written = {
        code
        for path in SOURCE.rglob("*.py")
        for code in re.findall(r'\bcode(?: =|=)\s*"(\w+)"', path.read_text("utf-8"))
    }

    assert len(written) > 40
    assert written - first_cells(page("errors")) - {"client_left", "config_invalid", "gate_crashed"} == set()


# --- usage, operate, README -----------------------------------------------------------------------------------------


def test_events_are_explained() -> None:
    usage = first_cells(page("usage"))
    named = {name.replace("_nano", "_usd") for name in Event.__struct_fields__}
    fields = named - {"usage"} | set(Usage.__struct_fields__)

    assert fields <= usage
    assert set(get_args(events.Outcome)) | set(get_args(events.Quality)) <= usage
    assert usage == fields | set(get_args(events.Outcome)) | set(get_args(events.Quality))
    assert all(f"`{group}`" in page("usage") for group in GROUPS)


def test_metrics_are_explained(gate: GateProcess, key: str) -> None:
    gate.call("POST", "/v1/chat/completions", key, {"model": "gpt-4o-mini", "messages": []})
    gate.events_once(1)
    _, _, text = gate.operator("GET", "/metrics")
    families = set(re.findall(r"^# TYPE (\w+) ", text.decode(), re.MULTILINE))

    assert families
    assert {name for name in families if not name.endswith("_created")} == {
        name for name in first_cells(page("operate")) if name.startswith(("gen_ai_", "tollkeeper_", "apisix_"))
    }


def test_the_lines_of_the_log_are_explained() -> None:
    said = {
        name
        for path in SOURCE.rglob("*.py")
        for call in re.findall(r"\b_?say\(\s*([^,)]+)", path.read_text("utf-8"))
        for name in re.findall(r'"(\w+)"', call)
    }

    assert said
    assert {name for name in said if f"`{name}`" not in page("operate")} == set()


def test_exit_codes_are_explained() -> None:
    given = {value for name, value in vars(options).items() if name.startswith("EXIT_")}
    shown = {int(code) for code in re.findall(r"^\| (\d) \|", page("operate"), re.MULTILINE)}

    assert shown == given | {0, 2}


def test_the_readme_names_every_room() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()} | {"app.py"}

    assert rooms == set(re.findall(r"^\| `([\w.]+)` \|", readme, re.MULTILINE))
