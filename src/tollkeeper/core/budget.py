"""A budget: how much money or how many tokens a key, an owner, a team or everything may use in a window of time."""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.windows import Window

Scope = Literal["all", "team", "owner", "key"]
"""Widest first. Budgets and limits of all scopes that a call falls under hold at once."""


class Budget(Struct, frozen=True, kw_only=True):
    """One budget as written down. Several may hold for one key: 5 USD a day and 50 USD a month."""

    scope: Scope
    of: str | None
    """The key's id, the owner's or team's name; None for `all`."""
    amount: int
    """Nano-USD or tokens, input and output together."""
    unit: Literal["usd", "tokens"]
    window: Window
    zone: str = "UTC"
    """IANA name of the time zone in which days, weeks and months begin."""
    soft: bool = False
    """Warn and let pass."""
    adaptive: bool = False
    """Hold what this key's calls have really cost in place of the worst case (see docs/budgets.md for the overshoot)."""

    @property
    def id(self) -> str:
        """What tells it from others, and stays while its amount changes: `key:key_1:usd:month:UTC`."""
        of = "" if self.of is None else f":{self.of}"
        return f"{self.scope}{of}:{self.unit}:{self.window}:{self.zone}"
