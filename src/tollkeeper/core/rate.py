"""A rate limit: how many requests or tokens may be used per span of time, or how many calls may be under way at once."""

from typing import Literal

from msgspec import Struct

Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrency"]


class RateLimit(Struct, frozen=True, kw_only=True):
    """One limit as written down."""

    scope: Literal["all", "team", "owner", "key", "model"]
    of: str | None
    """The key's id, the owner's, team's or model's name; None for `all`."""
    dimension: Dimension
    amount: int
    per: float = 60.0
    """Seconds; means nothing for concurrency."""
    burst: int | None = None
    """How much may be taken at once after a rest; None: see docs/limits.md."""

    @property
    def id(self) -> str:
        """What tells it from others: `key:key_1:requests:60`."""
        of = "" if self.of is None else f":{self.of}"
        span = "" if self.dimension == "concurrency" else f":{self.per:g}"
        return f"{self.scope}{of}:{self.dimension}{span}"
