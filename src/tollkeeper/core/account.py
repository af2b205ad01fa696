"""A provider as this gate uses it: its data, our credentials with it, and how patient we are."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Raw, Struct

from tollkeeper.core.limits import Seconds
from tollkeeper.core.money import Price
from tollkeeper.core.provider import Provider

Leave = Literal["drain", "cancel"]
"""What happens to a call whose client leaves. drain: read on to the usage record, within bounds; cancel: close the
connection to the provider and count what was delivered."""


Strategy = Literal["ordered", "weighted", "least-latency", "least-cost"]
"""Which target is asked first: the first one; one drawn by weight; the quicker of two; the cheapest."""

Beyond = Literal["model_not_found", "context_length", "content_filter"]
"""A refusal of the caller's own request that another target might not share."""


Amend = Callable[[str, Mapping[str, Raw]], Mapping[str, bytes]]
"""(dialect, members of a request in it) -> members as JSON that it is to have instead."""


class Fallback(Struct, frozen=True, kw_only=True):
    """When another target is asked, where that is not left to the gate's rules for retries. None is asked twice then."""

    after: frozenset[Literal["http_429", "http_5xx"]]
    """What the one before must have answered; an upstream that gave no answer counts as a 5xx."""
    attempts: int | None = None
    """In all; None: as many as there are targets."""
    within: float | None = None
    """Seconds from the call's beginning in which another attempt may be begun."""


class Balancing(Struct, frozen=True, kw_only=True):
    """How calls for a model are shared out among its targets."""

    strategy: Strategy = "ordered"
    affinity: bool = False
    """Whether the calls of one session go to one target as long as that target is well."""
    fall_back_on: frozenset[Beyond] = frozenset()
    """Refusals after which the next target is asked; otherwise they are the caller's answer."""
    fallback: Fallback | None = None


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds allowed to one attempt: to connect, to take what is sent, to the first byte, between bytes, in all."""

    connect: Seconds = 10.0
    send: Seconds = 120.0
    first_byte: Seconds = 600.0
    idle: Seconds = 120.0
    total: Seconds = 3600.0


class Account(Struct, frozen=True, kw_only=True):
    """One configured provider. `secret`, `headers` and `query` go into outgoing requests and nowhere else."""

    name: str
    provider: Provider
    secret: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What requests carry beside `secret`, or in its place."""
    query: str = ""
    """Pairs that every URL's query has, encoded."""
    timeouts: Patience = Patience()
    leave: Leave = "drain"
    shared: bool = False
    """Whether all who may use it may use whatever is kept there, whoever made it."""

    def __repr__(self) -> str:
        return f"Account({self.name!r})"


class Target(Struct, frozen=True):
    """One account with one of its model names; the name is None for requests that name no model."""

    account: Account
    model: str | None
    price: Price | None = None
    """Set where the config overrides what genai-prices says."""
    weight: float = 1.0
    """Its share among the targets of a model."""
    concurrency: int | None = None
    """Attempts that it gets at one time; None: as many as there are."""
    max_output: int | None = None
    """Output tokens that a request is limited to, where a budget needs a limit and the request sets none."""
    strict: bool = False
    """Whether a request is refused that holds what cannot cross to the target's dialect, not only what must not be lost."""
    amend: Amend | None = None
    """What is changed in every request to it, once it is in its dialect and before anything is set aside for it."""

    @property
    def name(self) -> str:
        """`provider/model`, or the provider where no model is named."""
        return self.account.name if self.model is None else f"{self.account.name}/{self.model}"
