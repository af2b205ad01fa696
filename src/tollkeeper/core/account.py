"""A provider as this gate uses it: its data, our credentials with it, and how patient we are."""

from typing import Literal

from msgspec import Struct

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


class Balancing(Struct, frozen=True, kw_only=True):
    """How calls for a model are shared out among its targets."""

    strategy: Strategy = "ordered"
    affinity: bool = False
    """Whether the calls of one session go to one target as long as that target is well."""
    fall_back_on: frozenset[Beyond] = frozenset()
    """Refusals after which the next target is asked; otherwise they are the caller's answer."""


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds allowed to one attempt: to connect, to the first byte, between bytes, in all."""

    connect: Seconds = 10.0
    first_byte: Seconds = 600.0
    idle: Seconds = 120.0
    total: Seconds = 3600.0


class Account(Struct, frozen=True, kw_only=True):
    """One configured provider. `secret` goes into one header of outgoing requests and nowhere else."""

    name: str
    provider: Provider
    secret: str | None = None
    timeouts: Patience = Patience()
    leave: Leave = "drain"

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

    @property
    def name(self) -> str:
        """`provider/model`, or the provider where no model is named."""
        return self.account.name if self.model is None else f"{self.account.name}/{self.model}"
