"""What was spent, by the events in the table."""

from collections.abc import Callable, Sequence

from tollkeeper.core.budget import Slice, Spent
from tollkeeper.stores.dynamodb.ledger import DynamoLedger, events_between
from tollkeeper.stores.dynamodb.purses import falls
from tollkeeper.stores.dynamodb.table import Table


class DynamoBalances:
    """Implements `core.ports.Balances`."""

    def __init__(self, table: Table, ledger: DynamoLedger) -> None:
        self._table = table
        self._ledger = ledger

    async def spent(self, slices: Sequence[Slice], at_cut: Callable[[], None]) -> list[Spent]:
        """What this gate has taken is in the table first; what others write meanwhile may be in it or not."""
        await self._ledger.flush()
        at_cut()
        start, end = min(each.start for each in slices), max(each.end for each in slices)
        events = await events_between(self._table, start, end)
        sums: list[Spent] = []
        for asked in slices:
            among = [event for event in events if falls(event, asked)]
            nano = sum(event.cost_nano or 0 for event in among)
            sums.append(Spent(nano, sum(event.usage.input_tokens + event.usage.output_tokens for event in among)))
        return sums

    def close(self) -> None:
        """Nothing is open."""
