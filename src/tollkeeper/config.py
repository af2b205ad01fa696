"""The configuration: frozen, typed, read and checked whole. An unknown field is an error that names it.

Where a value is a secret it may be `env:NAME` or `file:PATH`; it is looked up when the config is loaded.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.account import Account, Leave, Patience, Target
from tollkeeper.core.errors import ConfigError
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.money import Price, nano_from_usd
from tollkeeper.core.provider import Provider
from tollkeeper.flow.departures import DrainBounds
from tollkeeper.flow.relay import RelayOptions
from tollkeeper.providers import PROVIDERS

DEFAULT_FILE = "tollkeeper.toml"
Port = Annotated[int, Meta(ge=0, le=65535)]


_DEMO_PRICE = Price(version="demo", input=150_000_000, output=600_000_000)
"""Nobody is charged for it; it lets a first try show a cost: 0.15 and 0.60 USD per million tokens."""


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[server]"""

    host: str = "127.0.0.1"
    port: Port = 9080
    operator_host: str = "127.0.0.1"
    operator_port: Port = 9180
    home: str = "~/.tollkeeper"
    """Where the store, the pepper and the operator key live."""
    shutdown_seconds: Annotated[float, Meta(ge=0)] = 30.0
    """How long calls may go on after SIGTERM."""
    limits: DoorLimits = DoorLimits()


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[log]"""

    format: Literal["json", "console", "off"] = "console"


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[providers.NAME]: what is left out comes from the provider's own file."""

    kind: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    api_version: str | None = None
    stream_usage: Literal["ask", "always", "never"] | None = None
    leave: Leave = "drain"
    timeouts: Patience = Patience()


class PriceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[models.NAME.price]: USD per million tokens."""

    input: Decimal
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    request: Decimal = Decimal(0)
    """USD a request."""


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[models.NAME]"""

    targets: list[str]
    """`provider/model`, in order of preference."""
    price: PriceConfig | None = None


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    log: LogConfig = LogConfig()
    relay: RelayOptions = RelayOptions()
    drain: DrainBounds = DrainBounds()
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}


class Loaded(Struct, frozen=True):
    """A config that was found good, with what it names looked up."""

    config: Config
    accounts: dict[str, Account]
    models: dict[str, tuple[Target, ...]]
    path: Path | None


def load(path: Path | None, environment: Mapping[str, str], *, demo: bool = False) -> Loaded:
    """Reads `path`, or ./tollkeeper.toml where that exists, or nothing; then the environment's provider keys.

    Raises ConfigError with every problem found, each `file:line: dotted.name: what is wrong, what was expected`.
    """
    path, text = _read(path)
    config = _parsed(text, str(path))
    problems: list[str] = []

    def problem(dotted: str, words: str) -> None:
        problems.append(f"{_where(text, str(path), dotted)}{dotted}: {words}")

    _check_server(config.server, problem)
    accounts = _accounts(config, environment, demo, problem)
    models = _models(config, accounts, problem)
    if problems:
        raise ConfigError(problems)
    return Loaded(config, accounts, models, path)


def home(path: Path | None) -> Path:
    """The home that a config names: for commands that need nothing else of it, no provider's key either.

    Raises ConfigError where the file cannot be read or is not valid.
    """
    path, text = _read(path)
    return Path(_parsed(text, str(path)).server.home).expanduser()


def _read(path: Path | None) -> tuple[Path | None, str]:
    if path is None and Path(DEFAULT_FILE).exists():
        path = Path(DEFAULT_FILE)
    if path is None:
        return None, ""
    try:
        return path, path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None


def _parsed(text: str, name: str) -> Config:
    try:
        found = tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ConfigError([f"{name}: not valid TOML: nested too deeply"]) from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = at.group(1) if at and at.group(1) else str(text.count("\n") + 1)
        raise ConfigError([f"{name}:{line}: not valid TOML: {str(error).partition(' (at')[0]}"]) from None
    return _converted(found, name, text)


_TABLES: dict[str, type[Struct]] = {
    "server": ServerConfig,
    "log": LogConfig,
    "relay": RelayOptions,
    "drain": DrainBounds,
}
_NAMED_TABLES: dict[str, type[Struct]] = {"providers": ProviderConfig, "models": ModelConfig}


def _converted(found: dict[str, Any], name: str, text: str) -> Config:
    """Each table for itself, so that one table's mistake does not hide another's. Raises ConfigError."""
    problems: list[str] = []

    def convert(value: Any, kind: type[Struct], dotted: str) -> Any:
        try:
            return _finite(msgspec.convert(value, kind, strict=True), "$")
        except msgspec.ValidationError as error:
            where, words = _plain(str(error), dotted)
            problems.append(f"{_where(text, name, where)}{where}: {words}")
            return None

    values: dict[str, Any] = {}
    for table, value in found.items():
        if table in _TABLES:
            values[table] = convert(value, _TABLES[table], table)
        elif table in _NAMED_TABLES:
            if not isinstance(value, dict):
                problems.append(f"{_where(text, name, table)}{table}: expected tables [{table}.NAME]")
                continue
            kind = _NAMED_TABLES[table]
            values[table] = {entry: convert(given, kind, f"{table}.{_quoted(entry)}") for entry, given in value.items()}
        else:
            known = ", ".join((*_TABLES, *_NAMED_TABLES))
            problems.append(f"{_where(text, name, table)}{table}: there is no such table; expected one of: {known}")
    if problems:
        raise ConfigError(problems)
    return Config(**values)


def _quoted(name: str) -> str:
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


def _where(text: str, name: str, dotted: str) -> str:
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


def _check_server(server: ServerConfig, problem: Any) -> None:
    if server.port and server.port == server.operator_port and server.host == server.operator_host:
        problem("server.operator_port", "expected another port than server.port")


def _accounts(config: Config, environment: Mapping[str, str], demo: bool, problem: Any) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    if demo:
        accounts["demo"] = Account(name="demo", provider=PROVIDERS["demo"])
    for name, given in config.providers.items():
        dotted = f"providers.{name}"
        kind = given.kind or name
        provider = PROVIDERS.get(kind)
        if provider is None:
            known = ", ".join(sorted(PROVIDERS))
            field = "kind" if given.kind else ""
            problem(f"{dotted}.{field}".rstrip("."), f"no provider '{kind}' is known; expected one of: {known}")
            continue
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            problem(dotted, "expected a name of letters, digits, '.', '_' and '-'")
        secret = _secret(given.api_key, environment, f"{dotted}.api_key", problem)
        if secret is None and given.api_key is None and provider.key_env and (given.base_url is None):
            secret = environment.get(provider.key_env, "").strip() or None
            if secret is None and provider.auth != "none":
                problem(f"{dotted}.api_key", f"expected a key here or in the environment as {provider.key_env}")
        accounts[name] = Account(
            name=name,
            provider=_provider(provider, given, environment, dotted, problem),
            secret=secret,
            timeouts=given.timeouts,
            leave=given.leave,
        )
    taken = {account.provider.name for account in accounts.values()} | set(accounts)
    for provider in PROVIDERS.values():
        secret = environment.get(provider.key_env, "").strip() if provider.key_env else ""
        base_url = provider.base_url or _endpoint(provider, environment)
        if secret and provider.name not in taken and base_url:
            if not re.fullmatch(r"[\x21-\x7e]+", secret):
                problem(f"environment.{provider.key_env}", "expected a key of visible ASCII characters")
                continue
            provider = msgspec.structs.replace(provider, base_url=base_url)
            accounts[provider.name] = Account(name=provider.name, provider=provider, secret=secret)
    return accounts


def _endpoint(provider: Provider, environment: Mapping[str, str]) -> str:
    found = environment.get(provider.url_env, "") if provider.url_env else ""
    return found.rstrip("/") + provider.url_path if found else ""


def _provider(
    provider: Provider, given: ProviderConfig, environment: Mapping[str, str], dotted: str, problem: Any
) -> Provider:
    base_url = (given.base_url or provider.base_url or _endpoint(provider, environment)).rstrip("/")
    if provider.name != "demo" and not re.match(r"https?://[^/?#\s@]+(/[^?#\s]*)?$", base_url):
        expected = "expected https://HOST/PATH" if base_url else f"expected the URL of your {provider.name} endpoint"
        problem(f"{dotted}.base_url", expected)
    changes: dict[str, Any] = {"base_url": base_url}
    if given.base_url is not None and given.kind is not None:
        changes["models"] = ()  # another server behind the same dialect: the kind's own model names are not its own
        if given.base_url.rstrip("/") != provider.base_url:
            changes["prices"] = None
    if given.api_version is not None:
        changes["api_version"] = given.api_version
    if given.stream_usage is not None:
        changes["stream_usage"] = given.stream_usage
    return msgspec.structs.replace(provider, **changes)


def _secret(given: str | None, environment: Mapping[str, str], dotted: str, problem: Any) -> str | None:
    if given is None:
        return None
    secret: str | None = given
    if given.startswith("env:"):
        secret = environment.get(given[4:])
        if not secret:
            problem(dotted, f"the environment has no {given[4:]}")
    elif given.startswith("file:"):
        try:
            secret = Path(given[5:]).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problem(dotted, f"cannot read {given[5:]}: {error}")
    secret = (secret or "").strip()
    if not given or (secret and not re.fullmatch(r"[\x21-\x7e]+", secret)):
        problem(dotted, "expected a key of visible ASCII characters")
    return secret or None


def _models(config: Config, accounts: Mapping[str, Account], problem: Any) -> dict[str, tuple[Target, ...]]:
    models: dict[str, tuple[Target, ...]] = {}
    if "demo" in accounts and accounts["demo"].provider.name == "demo":
        models["demo"] = (Target(accounts["demo"], "demo", _DEMO_PRICE),)
    for name, given in config.models.items():
        dotted = f"models.{_quoted(name)}"
        price = _price(given.price, f"{dotted}.price", problem)
        targets = []
        for target in given.targets:
            provider, slash, model = target.partition("/")
            if not slash or not model:
                problem(f"{dotted}.targets", f"expected 'provider/model', got '{target}'")
            elif provider not in accounts:
                problem(f"{dotted}.targets", f"'{target}' names the provider '{provider}', which is not configured")
            else:
                targets.append(Target(accounts[provider], model, price))
        if not given.targets:
            problem(f"{dotted}.targets", "expected at least one 'provider/model'")
        models[name] = tuple(targets)
    return models


def _price(given: PriceConfig | None, dotted: str, problem: Any) -> Price | None:
    if given is None:
        return None
    for field in PriceConfig.__struct_fields__:
        if (getattr(given, field) or 0) < 0:
            problem(f"{dotted}.{field}", "expected USD, 0 or more")

    def nano(usd: Decimal | None) -> int | None:
        return None if usd is None else nano_from_usd(usd)

    return Price(
        version="config",
        input=nano_from_usd(given.input),
        output=nano_from_usd(given.output),
        cached_input=nano(given.cached_input),
        cache_write=nano(given.cache_write),
        audio_input=nano(given.audio_input),
        audio_output=nano(given.audio_output),
        request=nano_from_usd(given.request),
    )
