"""[providers.NAME] and the environment's provider keys become accounts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tollkeeper.config.reading import Problem, text_of
from tollkeeper.config.tables import Config, ProviderConfig
from tollkeeper.core.account import Account
from tollkeeper.core.provider import HERE, Provider
from tollkeeper.dialects.paths import RELAYED
from tollkeeper.providers import PROVIDERS

_FILE = "file:"
"""How a value begins that is the path of a secret's file."""


def accounts_of(config: Config, environment: Mapping[str, str], demo: bool, problem: Problem) -> dict[str, Account]:
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
        secret = secret_of(given.api_key, environment, f"{dotted}.api_key", problem)
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
            shared=given.shared,
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
    provider: Provider, given: ProviderConfig, environment: Mapping[str, str], dotted: str, problem: Problem
) -> Provider:
    base_url = given.base_url or provider.base_url or _endpoint(provider, environment)
    if not base_url.endswith("://"):
        base_url = base_url.rstrip("/")
    if provider.name != "demo" and not re.match(r"https?://[^/?#\s@]+(/[^?#\s]*)?$", base_url):
        expected = "expected https://HOST/PATH" if base_url else f"expected the URL of your {provider.name} endpoint"
        problem(f"{dotted}.base_url", expected)
    changes: dict[str, Any] = {"base_url": base_url}
    if given.base_url is not None and given.kind is not None:
        changes["models"] = ()  # another server behind the same dialect: the kind's own model names are not its own
        if provider.base_url and given.base_url.rstrip("/") != provider.base_url:
            changes["prices"] = changes["batch"] = None
            changes["sockets"] = ()
    if given.api_version is not None:
        changes["api_version"] = given.api_version
    if given.stream_usage is not None:
        changes["stream_usage"] = given.stream_usage
    if given.output_limit is not None:
        changes["output_limit"] = (given.output_limit,)
    if given.batch is not None:
        changes["batch"] = None if given.batch == "none" else given.batch
    if given.prices is not None:
        known = {each.prices for each in PROVIDERS.values() if each.prices}
        if given.prices not in known | {"none"}:
            problem(f"{dotted}.prices", f"expected none or one of: {', '.join(sorted(known))}")
        changes["prices"] = None if given.prices == "none" else given.prices
    if given.speaks is not None:
        unknown = [name for name in given.speaks if name not in RELAYED]
        if unknown or not given.speaks:
            problem(f"{dotted}.speaks", f"expected some of: {', '.join(sorted(RELAYED))}")
        changes["speaks"] = {name: provider.speaks.get(name, HERE) for name in given.speaks}
    if given.sockets is not None:
        if any(name != "openai_responses" for name in given.sockets):
            problem(f"{dotted}.sockets", "expected openai_responses, the only dialect that has sockets, or nothing")
        changes["sockets"] = tuple(given.sockets)
    return msgspec.structs.replace(provider, **changes)


def secret_files_of(config: Config) -> tuple[Path, ...]:
    """The files that secrets of [providers] and [outside] are in."""
    given = [provider.api_key for provider in config.providers.values()]
    for outside in config.outside.values():
        given += [outside.api_key, *outside.headers.values(), *outside.query.values()]
    names = {value.removeprefix(_FILE) for value in given if value is not None and value.startswith(_FILE)}
    return tuple(Path(name).expanduser() for name in sorted(names))


def secret_of(
    given: str | None,
    environment: Mapping[str, str],
    dotted: str,
    problem: Problem,
    form: str = r"[\x21-\x7e]+",
) -> str | None:
    """A value that is given itself, as `env:NAME` or as `file:PATH`; it must have the `form`."""
    if given is None:
        return None
    secret: str | None = given
    if given.startswith("env:"):
        secret = environment.get(given[4:])
        if not secret:
            problem(dotted, f"the environment has no {given[4:]}")
    elif given.startswith(_FILE):
        try:
            secret = text_of(Path(given.removeprefix(_FILE)).expanduser()).strip()
        except (OSError, UnicodeDecodeError) as error:
            problem(dotted, f"cannot read {given[5:]}: {error}")
    secret = (secret or "").strip()
    if not given or (secret and not re.fullmatch(form, secret)):
        problem(dotted, "expected a key of visible ASCII characters")
    return secret or None
