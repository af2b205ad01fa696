"""Sums of the events of the last transactions, made in memory as they are written: to add those to the sums costs little.

The store knows by itself which events are not summed yet (the table `unsummed`), so what is here may be lost at any moment:
then they are summed from the events (rollups.py).
"""

from collections import defaultdict, deque
from operator import add, itemgetter
from typing import Any

from msgspec import Struct

from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.rows import COLUMNS, NULL, EventRow

Group = tuple[Any, ...]
"""The hour's start (Unix ms), key_id, owner, team, model_asked, provider."""

_ID, _ATTEMPT, _STARTED, _OUTCOME, _COST, _SAVED = map(
    COLUMNS.index, ("request_id", "attempt", "started_at", "outcome", "cost_nano", "saved_nano")
)
_of = itemgetter(*map(COLUMNS.index, ("key_id", "owner", "team", "model_asked", "provider")))
_FIRST_TOKENS = COLUMNS.index(Usage.__struct_fields__[0])
_TOKENS = slice(_FIRST_TOKENS, _FIRST_TOKENS + len(Usage.__struct_fields__))
_HOUR = 3_600_000
_ROWS = 128
"""That wait to be summed together: columns are summed faster than rows are added."""
_GROUPS = 200
"""In one part: what is added to the sums in one transaction, which holds up commits for some milliseconds."""
_PARTS = 50


class GroupSums(Struct):
    """Of one group: the first and last of its request ids, and its sums, in the order of `sums.SUMS`."""

    first_id: str
    last_id: str
    sums: tuple[int, ...]


class Part:
    """The sums of some transactions' events."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        """Of what they are noted under in `unsummed`."""
        self.events = 0
        self.groups: dict[Group, GroupSums] = {}
        """After `fold`."""
        self.others: list[tuple[str, int]] = []
        """Request ids and attempts of events that cannot be summed without a look at the store."""
        self._rows: list[EventRow] = []

    def add(self, number: int, rows: list[EventRow]) -> None:
        self.numbers.append(number)
        self.events += len(rows)
        self._rows += rows
        if len(self._rows) >= _ROWS:
            self.fold()

    def fold(self) -> None:
        """Sums up what has been added."""
        alike: defaultdict[tuple[int, Group], list[EventRow]] = defaultdict(list)
        for row in self._rows:
            if row[_ATTEMPT] == 1:
                alike[row[_STARTED] // _HOUR, _of(row)].append(row)
            else:  # whether it is the first one that was recorded of its request is known to the store
                self.others.append((row[_ID], row[_ATTEMPT]))
        self._rows.clear()
        for (hour, of), rows in alike.items():
            self._take((hour * _HOUR, *of), rows)

    def _take(self, group: Group, rows: list[EventRow]) -> None:
        columns = list(zip(*rows, strict=True))
        count, ids, costs = len(rows), columns[_ID], columns[_COST]
        cached, unpriced = columns[_OUTCOME].count("cached"), costs.count(NULL)
        if unpriced:
            costs = tuple(cost for cost in costs if cost is not NULL)
        tokens = map(sum, columns[_TOKENS])
        sums = (count, count - cached, count, *tokens, sum(costs), unpriced, cached, sum(columns[_SAVED]))
        found = self.groups.get(group)
        if found is None:
            self.groups[group] = GroupSums(min(ids), max(ids), sums)
        else:
            found.first_id, found.last_id = min(found.first_id, *ids), max(found.last_id, *ids)
            found.sums = tuple(map(add, found.sums, sums))


class Tally:
    """Kept by the ledger; changed only while no transaction is under way."""

    def __init__(self) -> None:
        self.parts: deque[Part] = deque()
        """The oldest first."""

    @property
    def begins(self) -> int | None:
        """The lowest number in `unsummed` of what is here; None where nothing is."""
        return self.parts[0].numbers[0] if self.parts else None

    def add(self, number: int, rows: list[EventRow]) -> None:
        """Events, as rows of their table, that were written and are noted under `number`."""
        parts = self.parts
        if not parts or len(parts[-1].groups) >= _GROUPS:
            if len(parts) == _PARTS:
                parts.clear()
            parts.append(Part())
        parts[-1].add(number, rows)
