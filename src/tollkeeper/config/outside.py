"""[outside.NAME] become accounts with other HTTP APIs, their credentials looked up."""

import re
from collections.abc import Mapping

from tollkeeper.apis.options import OutsideAccount, OutsideOptions
from tollkeeper.config.accounts import secret_of
from tollkeeper.config.reading import Problem, quoted
from tollkeeper.core.money import Price, nano_from_usd


def outside_of(
    given: Mapping[str, OutsideOptions], environment: Mapping[str, str], problem: Problem
) -> dict[str, OutsideAccount]:
    """The accounts by name. What cannot be is told to `problem`."""
    return {name: _account(name, options, environment, problem) for name, options in given.items()}


def _account(name: str, given: OutsideOptions, environment: Mapping[str, str], problem: Problem) -> OutsideAccount:
    dotted = f"outside.{quoted(name)}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        problem(dotted, "expected a name of letters, digits, '.', '_' and '-'")
    base_url = given.base_url.rstrip("/")
    if not re.match(r"https?://[^/?#\s@]+(/[^?#\s]*)?$", base_url):
        problem(f"{dotted}.base_url", "expected https://HOST/PATH")
    headers: list[tuple[bytes, bytes]] = []
    for header, value in given.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
            problem(f"{dotted}.headers", f"'{header}' is no header's name")
        found = secret_of(value, environment, f"{dotted}.headers.{quoted(header)}", problem, r"[\x20-\x7e]+")
        headers.append((header.lower().encode("ascii", "replace"), (found or "").encode("ascii", "replace")))
    key = secret_of(given.api_key, environment, f"{dotted}.api_key", problem)
    if key is not None:
        headers.append((b"authorization", b"Bearer " + key.encode("ascii", "replace")))
    query = [
        (
            parameter,
            secret_of(value, environment, f"{dotted}.query.{quoted(parameter)}", problem, r"[\x20-\x7e]+") or "",
        )
        for parameter, value in given.query.items()
    ]
    if given.price is not None and given.price < 0:
        problem(f"{dotted}.price", "expected USD, 0 or more")
    return OutsideAccount(
        name=name,
        base_url=base_url,
        headers=tuple(headers),
        query=tuple(query),
        timeouts=given.timeouts,
        retries=given.retries,
        price=None if given.price is None else Price(version="config", request=nano_from_usd(given.price)),
        max_bytes=given.max_bytes,
    )
