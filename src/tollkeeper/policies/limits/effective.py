"""Which limits hold for a key: its own, each key's, its owner's, its team's, the model's, everybody's, put together."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.gcra import Allowance, allowance
from tollkeeper.core.keys import Key
from tollkeeper.core.rate import Dimension, RateLimit

FIRST_MEAN = 256
"""Tokens that a key's calls are taken to answer with before any of them has."""
_WEIGHT = 8
"""A call moves the mean by an eighth of how far it is from it."""

_COSTS: dict[Dimension, int] = {"requests": 0, "concurrency": 0, "tokens": 1, "input_tokens": 2, "output_tokens": 3}
"""What a call costs in a dimension: where that stands in (1, tokens, input tokens, output tokens)."""


class LimitsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[limits]: each limit in its text form, "60 requests/minute"."""

    all: list[str] = []
    """For all calls together."""
    each_key: list[str] = []
    """For every key by itself; a key's own limit of the same kind and span stands in its place."""
    teams: dict[str, list[str]] = {}
    owners: dict[str, list[str]] = {}
    models: dict[str, list[str]] = {}
    """By the name that callers ask for."""
    wait: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds that a call may wait for its turn before it is refused."""
    queue: Annotated[int, Meta(ge=0)] = 100
    """Calls that may wait at one time."""


class LimitRules(Struct, frozen=True, kw_only=True):
    """`LimitsOptions`, read."""

    all: tuple[RateLimit, ...] = ()
    each_key: tuple[RateLimit, ...] = ()
    teams: Mapping[str, tuple[RateLimit, ...]] = {}
    owners: Mapping[str, tuple[RateLimit, ...]] = {}
    models: Mapping[str, tuple[RateLimit, ...]] = {}
    wait: float = 0.0
    queue: int = 100
    deadline: float | None = None
    """Seconds that every call has at most, from when it was accepted."""


class Effective:
    """The limits of one key for one model, with what each call needs of them worked out."""

    __slots__ = (
        "allowances",
        "amounts",
        "counts_tokens",
        "dimensions",
        "noted",
        "requests",
        "settled",
        "tokens",
        "unsettled",
    )

    def __init__(self, limits: tuple[RateLimit, ...]) -> None:
        self.allowances: tuple[Allowance, ...] = tuple(allowance(limit) for limit in limits)
        self.dimensions = tuple(_COSTS[limit.dimension] for limit in limits)
        self.counts_tokens = any(self.dimensions)
        self.requests = tuple(at for at, limit in enumerate(limits) if limit.dimension == "requests")
        self.tokens = tuple(at for at, dimension in enumerate(self.dimensions) if dimension)
        self.settled = tuple(at for at, limit in enumerate(limits) if limit.dimension != "requests")
        self.unsettled = tuple(range(len(limits)))
        """What is settled where a call has had an attempt, and where it has not."""
        self.amounts = tuple(b"%d" % limit.amount for limit in limits)
        self.noted = tuple((limit.id, limit.amount, limit.at_once) for limit in limits)

    def costs(self, input_tokens: int, output_tokens: int) -> list[int]:
        """One cost for each allowance, of a call with so many tokens."""
        if not self.counts_tokens:
            return [1] * len(self.dimensions)
        parts = (1, input_tokens + output_tokens, input_tokens, output_tokens)
        return [parts[dimension] for dimension in self.dimensions]


class Plan:
    """The limits of one key, and how many tokens its calls answer with."""

    __slots__ = ("_any_model", "_by_model", "_eighths", "key", "rules")

    def __init__(self, key: Key, rules: LimitRules, before: "Plan | None") -> None:
        self.key = key
        self.rules = rules
        self._eighths: int = FIRST_MEAN * _WEIGHT if before is None else before._eighths
        self._any_model = Effective(_limits_of(key, rules, None))
        self._by_model: dict[str, Effective] = {}

    def of(self, model: str | None) -> Effective:
        """What holds for a call that asks for `model`."""
        if model is None or model not in self.rules.models:
            return self._any_model
        found = self._by_model.get(model)
        if found is None:
            found = self._by_model[model] = Effective(_limits_of(self.key, self.rules, model))
        return found

    @property
    def mean_output(self) -> int:
        """Output tokens of this key's last calls, a moving mean."""
        return self._eighths // _WEIGHT

    def learn(self, output_tokens: int) -> None:
        """One call more has ended, with so many."""
        self._eighths += output_tokens - self._eighths // _WEIGHT


def _limits_of(key: Key, rules: LimitRules, model: str | None) -> tuple[RateLimit, ...]:
    found = {limit.id: limit for limit in (_for_key(limit, key.id) for limit in rules.each_key)}
    found |= {limit.id: limit for limit in (_for_key(limit, key.id) for limit in key.limits)}
    for named, groups in ((key.owner, rules.owners), (key.team, rules.teams), (model, rules.models)):
        if named is not None:
            found |= {limit.id: limit for limit in groups.get(named, ())}
    return (*found.values(), *rules.all)


def _for_key(limit: RateLimit, key_id: str) -> RateLimit:
    return limit if limit.of == key_id else msgspec.structs.replace(limit, scope="key", of=key_id)
