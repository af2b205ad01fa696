"""Text to tables: TOML, types, and where in the file a mistake is."""

import errno
import math
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tollkeeper.apis.options import ApiOptions, OutsideOptions
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.config.routing import RESOURCES, RoutingOptions, plain
from tollkeeper.config.tables import (
    BatchesConfig,
    Config,
    LedgerConfig,
    LogConfig,
    ModelConfig,
    PlaygroundConfig,
    ProviderConfig,
    ServerConfig,
)
from tollkeeper.core.errors import ConfigError
from tollkeeper.flow.departures import DrainBounds
from tollkeeper.flow.health import HealthOptions
from tollkeeper.flow.origins import OwnershipOptions
from tollkeeper.flow.relay import RelayOptions
from tollkeeper.flow.retries import RetryOptions
from tollkeeper.mcp.options import McpOptions
from tollkeeper.policies.budgets import BudgetsOptions
from tollkeeper.policies.cache import CacheOptions
from tollkeeper.policies.idempotency import IdempotencyOptions
from tollkeeper.policies.limits import LimitsOptions
from tollkeeper.sockets.options import SocketOptions

DEFAULT_FILE = "tollkeeper.toml"
Problem = Callable[[str, str], None]
"""(dotted name, what is wrong and what was expected): notes it."""


def read(path: Path | None) -> tuple[Path | None, str]:
    if path is None and Path(DEFAULT_FILE).exists():
        path = Path(DEFAULT_FILE)
    if path is None:
        return None, ""
    try:
        return path, text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None


def text_of(path: Path) -> str:
    """A file's text. Raises OSError and UnicodeDecodeError.

    A pipe is none: nobody may ever write into it, and a gate that reads its configuration again would wait for that.
    """
    if path.is_fifo():
        raise OSError(errno.EINVAL, "It is a pipe, not a file", str(path))
    return path.read_text("utf-8")


def parsed(text: str, name: str) -> Config:
    """The tables that are fields of `Config`. Raises ConfigError."""
    return parsed_with_resources(text, name)[0]


def parsed_with_resources(text: str, name: str) -> tuple[Config, dict[str, dict[str, Any]]]:
    """The same, and the resources of ordinary routes by kind and id. Raises ConfigError."""
    try:
        found = tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ConfigError([f"{name}: not valid TOML: nested too deeply"]) from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = at.group(1) if at and at.group(1) else str(text.count("\n") + 1)
        raise ConfigError([f"{name}:{line}: not valid TOML: {str(error).partition(' (at')[0]}"]) from None
    resources = {kind: plain(found.pop(kind)) for kind in RESOURCES if kind in found}
    for kind, value in resources.items():
        if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
            raise ConfigError([f"{where(text, name, kind)}{kind}: expected tables [{kind}.NAME]"])
    return _converted(found, name, text), resources


_TABLES: dict[str, type[Struct]] = {
    "server": ServerConfig,
    "log": LogConfig,
    "relay": RelayOptions,
    "drain": DrainBounds,
    "cache": CacheOptions,
    "idempotency": IdempotencyOptions,
    "ledger": LedgerConfig,
    "budgets": BudgetsOptions,
    "limits": LimitsOptions,
    "retry": RetryOptions,
    "health": HealthOptions,
    "routing": RoutingOptions,
    "websocket": SocketOptions,
    "playground": PlaygroundConfig,
    "mcp": McpOptions,
    "assistant": AssistantOptions,
    "ownership": OwnershipOptions,
    "batches": BatchesConfig,
}
_NAMED_TABLES: dict[str, type[Struct]] = {
    "providers": ProviderConfig,
    "models": ModelConfig,
    "apis": ApiOptions,
    "outside": OutsideOptions,
}


def _converted(found: dict[str, Any], name: str, text: str) -> Config:
    """Each table for itself, so that one table's mistake does not hide another's. Raises ConfigError."""
    problems: list[str] = []

    def convert(value: Any, kind: type[Struct], dotted: str) -> Any:
        try:
            return _finite(msgspec.convert(value, kind, strict=True), "$")
        except msgspec.ValidationError as error:
            at, words = _plain(str(error), dotted)
            problems.append(f"{where(text, name, at)}{at}: {words}")
            return None

    values: dict[str, Any] = {}
    for table, value in found.items():
        if table in _TABLES:
            values[table] = convert(value, _TABLES[table], table)
        elif table in _NAMED_TABLES:
            if not isinstance(value, dict):
                problems.append(f"{where(text, name, table)}{table}: expected tables [{table}.NAME]")
                continue
            kind = _NAMED_TABLES[table]
            values[table] = {entry: convert(given, kind, f"{table}.{quoted(entry)}") for entry, given in value.items()}
        else:
            known = ", ".join((*_TABLES, *_NAMED_TABLES, *RESOURCES))
            problems.append(f"{where(text, name, table)}{table}: there is no such table; expected one of: {known}")
    if problems:
        raise ConfigError(problems)
    return Config(**values)


def quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'


def _finite(value: Any, path: str) -> Any:
    """TOML has nan and inf, which no bound of ours means. Raises msgspec.ValidationError."""
    for field in value.__struct_fields__:
        found = getattr(value, field)
        if isinstance(found, Struct):
            _finite(found, f"{path}.{field}")
        elif isinstance(found, (float, Decimal)) and not math.isfinite(found):
            raise msgspec.ValidationError(f"Expected a finite number - at `{path}.{field}`")
    return value


def _plain(message: str, dotted: str) -> tuple[str, str]:
    """msgspec's words to ours: "Expected `int`, got `str` - at `$.port`" -> ("server.port", "expected …")."""
    words, _, at = message.partition(" - at ")
    path = dotted + at.strip("`").removeprefix("$")
    unknown = re.search(r"unknown field `([^`]+)`", words)
    if unknown:
        return f"{path}.{unknown.group(1)}", "there is no such field here"
    return path, words[0].lower() + words[1:]


def where(text: str, name: str, dotted: str) -> str:
    """`file:line: ` of a dotted name, as near as a look at the text can tell; nothing without a file."""
    if not text:
        return ""
    parts = [part.strip('"') for part in re.findall(r'"[^"]*"|[^.]+', dotted)]
    table: list[str] = []
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?(.+?)\]\]?\s*(#.*)?$", line)
        if header:
            table = [part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", header.group(1))]
            here = table
        else:
            field = re.match(r"\s*(\"[^\"]*\"|[\w.-]+)\s*=", line)
            if not field:
                continue
            here = table + [part.strip('"') for part in field.group(1).split(".")]
        if parts[: len(here)] == here and len(here) > depth:
            best, depth = number, len(here)
    return f"{name}:{best}: "
