"""Loads a configuration: read, checked whole, and what it names looked up; every problem is found in one go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from tollkeeper.apis.options import OutsideAccount
from tollkeeper.config import reading
from tollkeeper.config.accounts import accounts_of, secret_files_of, secret_of
from tollkeeper.config.budgets import budgets_of
from tollkeeper.config.limits import limits_of
from tollkeeper.config.models import balancing_of, models_of
from tollkeeper.config.outside import outside_of
from tollkeeper.config.reading import Problem
from tollkeeper.config.routing import RoutingOptions
from tollkeeper.config.sockets import check_sockets
from tollkeeper.config.tables import Config, ServerConfig
from tollkeeper.core.account import Account, Balancing, Target
from tollkeeper.core.errors import ConfigError
from tollkeeper.policies.budgets import BudgetRules
from tollkeeper.policies.limits import LimitRules


class Loaded(Struct, frozen=True):
    """A config that was found good, with what it names looked up."""

    config: Config
    accounts: dict[str, Account]
    models: dict[str, tuple[Target, ...]]
    path: Path | None
    limits: LimitRules = LimitRules()
    balancing: dict[str, Balancing] = {}
    budgets: BudgetRules = BudgetRules()
    outside: dict[str, OutsideAccount] = {}
    text: str = ""
    """The file as it was read."""
    resources: dict[str, dict[str, Any]] = {}
    """Of ordinary routes, by kind and id, in APISIX's form."""
    secret_files: tuple[Path, ...] = ()
    """Where secrets were read."""
    admin_key: str | None = None
    """[mcp.admin]'s."""

    @property
    def folder(self) -> Path:
        """Where files are looked for that the config names."""
        return Path.cwd() if self.path is None else self.path.absolute().parent

    @property
    def files(self) -> tuple[Path, ...]:
        """All that were read: when one of them changes, it is time to load again."""
        return self.secret_files if self.path is None else (self.path, *self.secret_files)

    def where(self, dotted: str) -> str:
        """`file:line: ` of a dotted name; nothing without a file."""
        return reading.where(self.text, str(self.path), dotted)


def load(path: Path | None, environment: Mapping[str, str], *, demo: bool = False) -> Loaded:
    """Reads `path`, or ./tollkeeper.toml where that exists, or nothing; then the environment's provider keys.

    Raises ConfigError with every problem found, each `file:line: dotted.name: what is wrong, what was expected`.
    """
    path, text = reading.read(path)
    config, resources = reading.parsed_with_resources(text, str(path))
    problems: list[str] = []

    def problem(dotted: str, words: str) -> None:
        problems.append(f"{reading.where(text, str(path), dotted)}{dotted}: {words}")

    _check_server(config.server, problem)
    check_sockets(config.websocket, config.apis, problem)
    accounts = accounts_of(config, environment, demo, problem)
    models = models_of(config, accounts, problem)
    limits = limits_of(config.limits, config.retry.deadline, problem)
    budgets = budgets_of(config.budgets, problem)
    outside = outside_of(config.outside, environment, problem)
    admin = config.mcp.admin
    admin_key = None if admin is None else secret_of(admin.key, environment, "mcp.admin.key", problem)
    if problems:
        raise ConfigError(problems)
    return Loaded(
        config,
        accounts,
        models,
        path,
        limits,
        balancing_of(config),
        budgets,
        outside,
        text,
        resources,
        secret_files=secret_files_of(config),
        admin_key=admin_key,
    )


def home(path: Path | None) -> Path:
    """The home that a config names: for commands that need nothing else of it, no provider's key either.

    Raises ConfigError where the file cannot be read or is not valid.
    """
    path, text = reading.read(path)
    return Path(reading.parsed(text, str(path)).server.home).expanduser()


def routing_of(path: Path | None) -> tuple[RoutingOptions, Path]:
    """[routing], and the folder of the file that says it: for commands that need nothing else of it. Raises ConfigError."""
    path, text = reading.read(path)
    return reading.parsed(text, str(path)).routing, Path.cwd() if path is None else path.absolute().parent


def config_of(path: Path | None) -> Config:
    """The tables as they are written, for commands that need no provider's key. Raises ConfigError."""
    path, text = reading.read(path)
    return reading.parsed(text, str(path))


def budget_rules(path: Path | None) -> tuple[BudgetRules, Path | None]:
    """The budgets that a config sets, and its file: for commands that need nothing else of it. Raises ConfigError."""
    path, text = reading.read(path)
    problems: list[str] = []
    found = budgets_of(
        reading.parsed(text, str(path)).budgets,
        lambda dotted, words: problems.append(f"{reading.where(text, str(path), dotted)}{dotted}: {words}"),
    )
    if problems:
        raise ConfigError(problems)
    return found, path


def _check_server(server: ServerConfig, problem: Problem) -> None:
    if server.port and server.port == server.operator_port and server.host == server.operator_host:
        problem("server.operator_port", "expected another port than server.port")
