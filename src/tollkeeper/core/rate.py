"""A rate limit: how many requests or tokens may be used per span of time, or how many calls may be under way at once."""

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrency"]
LimitScope = Literal["all", "team", "owner", "key", "model"]
MOST = 10**12
"""The largest amount: beyond it a limit limits nothing, and a store's 64-bit integers would overflow."""
LONGEST = 31 * 86_400
"""Seconds; what is to hold for longer is a budget, which outlives a restart."""

_DIMENSIONS: dict[str, Dimension] = {
    "request": "requests",
    "requests": "requests",
    "token": "tokens",
    "tokens": "tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_TEXT = re.compile(
    r"(\d[\d_]*)\s+(?:(?P<concurrent>concurrent)|(?P<what>[a-z_]+)\s*/\s*(?P<count>\d*)\s*(?P<unit>[a-z]+))"
    r"(?:\s+burst\s+(?P<burst>\d[\d_]*))?",
    re.ASCII,
)
_FORM = (
    "expected '60 requests/minute', '5 requests/10s', '100000 tokens/minute', '900 output_tokens/hour', '10 concurrent'"
)


class RateLimit(Struct, frozen=True, kw_only=True):
    """One limit as written down."""

    scope: LimitScope
    of: str | None
    """The key's id, the owner's, team's or model's name; None for `all`."""
    dimension: Dimension
    amount: int
    per: int = 60
    """Seconds; means nothing for concurrency."""
    burst: int | None = None
    """How much may be taken at once after a rest; None: see `at_once`."""

    @property
    def id(self) -> str:
        """What tells it from others, and stays while its amount and burst change: `key:key_1:requests:60`."""
        of = "" if self.of is None else f":{self.of}"
        span = "" if self.dimension == "concurrency" else f":{self.per}"
        return f"{self.scope}{of}:{self.dimension}{span}"

    @property
    def at_once(self) -> int:
        """How much may be taken at once after a rest.

        Unless it is written down: of requests a hundredth or ten, so that what any minute lets pass is within a hundredth
        of the amount (or is ten); of tokens a sixth, ten seconds' worth of a minute, since one call takes thousands.
        """
        if self.burst is not None:
            return self.burst
        if self.dimension == "concurrency":
            return self.amount
        if self.dimension == "requests":
            return max(1, self.amount // 100, min(self.amount, 10))
        return max(1, self.amount // 6)


def parse(text: str, scope: LimitScope, of: str | None) -> RateLimit:
    """ "60 requests/minute burst 20" as a limit of `scope`. Raises ValueError with what is wrong and what was expected."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text[:80]}' is no limit: {_FORM}, and perhaps 'burst 20' after it")
    amount = _number(found[1], text)
    if found["concurrent"]:
        if found["burst"]:
            raise ValueError(f"'{text}': calls under way at once have no burst")
        return RateLimit(scope=scope, of=of, dimension="concurrency", amount=amount)
    dimension = _DIMENSIONS.get(found["what"])
    if dimension is None:
        raise ValueError(f"'{text}': '{found['what']}' cannot be limited: {_FORM}")
    per = _seconds(found["count"], found["unit"], text)
    burst = _number(found["burst"], text) if found["burst"] else None
    if burst is not None and burst > amount:
        raise ValueError(f"'{text}': the burst cannot be more than the amount")
    return RateLimit(scope=scope, of=of, dimension=dimension, amount=amount, per=per, burst=burst)


def parse_all(texts: Iterable[str], scope: LimitScope, of: str | None) -> tuple[RateLimit, ...]:
    """Each as `parse` reads it. Raises ValueError too where two limit the same in the same span."""
    limits = tuple(parse(text, scope, of) for text in texts)
    seen: dict[str, RateLimit] = {}
    for limit in limits:
        other = seen.setdefault(limit.id, limit)
        if other is not limit:
            raise ValueError(f"'{shown(other)}' and '{shown(limit)}' limit the same: keep one of them")
    return limits


def shown(limit: RateLimit) -> str:
    """The text form that `parse` reads back."""
    if limit.dimension == "concurrency":
        return f"{limit.amount} concurrent"
    unit = next(unit for unit in reversed(_UNITS) if limit.per % _UNITS[unit] == 0)
    count = limit.per // _UNITS[unit]
    span = unit if count == 1 else f"{count}{unit[0]}"
    burst = "" if limit.burst is None else f" burst {limit.burst}"
    return f"{limit.amount} {limit.dimension}/{span}{burst}"


def _number(digits: str, text: str) -> int:
    number = int(digits[:20].replace("_", ""))
    if not 1 <= number <= MOST:
        raise ValueError(f"'{text[:80]}': a limit lies between 1 and {MOST}")
    return number


def _seconds(count: str, unit: str, text: str) -> int:
    """ "10s", "10 seconds", "minute", "2h" in seconds."""
    name = next((name for name in _UNITS if unit in (name, name[0], f"{name}s")), None)
    if name is None:
        raise ValueError(
            f"'{text}': '{unit}' is no span: expected second, minute, hour, day, or a number of s, m, h or d"
        )
    seconds = int(count[:9] or "1") * _UNITS[name]
    if not 1 <= seconds <= LONGEST:
        raise ValueError(
            f"'{text}': a span lies between 1 second and {LONGEST // _UNITS['day']} days; for more take a budget"
        )
    return seconds
