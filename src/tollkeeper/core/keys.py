"""A key: what a caller presents, and what it may do."""

from msgspec import Struct

from tollkeeper.core.budget import Budget
from tollkeeper.core.rate import RateLimit

PREFIX = "tk-"
SHOWN = 10
"""How many characters of a key stay visible: enough to recognise it, 7 of 43 random ones."""


class Key(Struct, frozen=True, kw_only=True):
    """One caller's key as the gate knows it. The secret itself is never kept, only `digest` (HMAC-SHA256, 32 bytes)."""

    id: str
    name: str
    shown: str
    digest: bytes
    created_at: int
    owner: str | None = None
    team: str | None = None
    models: tuple[str, ...] | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    budgets: tuple[Budget, ...] = ()
    limits: tuple[RateLimit, ...] = ()

    @property
    def tenant(self) -> str:
        """Whose it is what calls with this key leave behind: answers, files, batches. A team's, else an owner's, else its
        own.
        """
        if self.team is not None:
            return "team:" + self.team
        if self.owner is not None:
            return "owner:" + self.owner
        return "key:" + self.id

    def usable(self, now_ms: int) -> bool:
        """Neither revoked nor expired at `now_ms` (Unix milliseconds)."""
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)

    def may_use(self, model: str) -> bool:
        """Whether this key's list of models allows `model`; `prefix*` allows all that begin so."""
        if self.models is None:
            return True
        return any(model.startswith(m[:-1]) if m.endswith("*") else model == m for m in self.models)
