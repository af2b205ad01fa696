"""Which windows of which budgets an attempt falls into, and what they are called in the table."""

from msgspec import Struct

from tollkeeper.core.budget import Budget, Slice
from tollkeeper.core.events import Event, Hold


class PurseOf(Struct, frozen=True):
    """One window of one budget. Its item counts what is used, which is spent or held, and what is spent."""

    budget: Budget
    """The one that refuses; else the one that warns."""
    start: int
    end: int

    @property
    def pk(self) -> str:
        return f"purse#{self.budget.id}"

    @property
    def sk(self) -> str:
        return f"{self.start:020d}"

    @property
    def slice(self) -> Slice:
        return Slice(self.budget.scope, self.budget.of, self.start, self.end)

    def held(self, hold: Hold) -> int:
        """What the attempt holds in it."""
        return (hold.held_nano if self.budget.unit == "usd" else hold.held_tokens) or 0

    def spent(self, event: Event) -> int:
        """What the attempt has cost it."""
        if self.budget.unit == "usd":
            return event.cost_nano or 0
        return event.usage.input_tokens + event.usage.output_tokens


def falls(record: Event | Hold, asked: Slice) -> bool:
    """Whether a record is one of those that a slice is about."""
    of = {"all": None, "team": record.team, "owner": record.owner, "key": record.key_id}[asked.scope]
    return asked.start <= record.started_at < asked.end and asked.of == of
