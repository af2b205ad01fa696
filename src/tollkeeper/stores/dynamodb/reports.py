"""Questions to the ledger on DynamoDB: who used what, and which events. Every event of the time asked for is read."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key
from tollkeeper.core.money import usd_from_nano
from tollkeeper.stores.dynamodb.keys import KEYS
from tollkeeper.stores.dynamodb.ledger import EVENTS
from tollkeeper.stores.dynamodb.table import BlockingTable, place_of
from tollkeeper.stores.sqlite.reports import GROUPS, UsageRow
from tollkeeper.stores.sqlite.sums import EVER

_LAST = EVER[1]
_GROUP: dict[str, Callable[[Event], str | None]] = {
    "key": lambda event: event.key_id,
    "owner": lambda event: event.owner,
    "team": lambda event: event.team,
    "model": lambda event: event.model_asked,
    "provider": lambda event: event.provider,
    "day": lambda event: datetime.fromtimestamp(event.started_at / 1000, UTC).strftime("%Y-%m-%d"),
}


class DynamoReports:
    """As `stores.sqlite.reports.Reports`, as far as it goes."""

    def __init__(self, table: BlockingTable) -> None:
        self._table = table

    def close(self) -> None:
        """Nothing is open."""

    def usage(self, by: str, since: int | None = None, until: int | None = None) -> list[UsageRow]:
        """Sums of the events that began in [since, until) (Unix ms), dearest first. Raises CallerError for another `by`."""
        group = _GROUP.get(by)
        if group is None:
            raise CallerError(f"Usage can be summed by {', '.join(GROUPS)}.", code="invalid_value", param="by")
        groups: dict[str | None, _Sum] = {}
        seen: set[tuple[str, str]] = set()
        for event in self._between(since, until):
            # A request counts where its first attempt was; for a provider, its first there that was asked for at all.
            mark = (event.request_id, event.provider if by == "provider" else "")
            first = mark not in seen and not (by == "provider" and event.outcome == "cached")
            if first:
                seen.add(mark)
            groups.setdefault(group(event), _Sum()).add(event, first)
        found = sorted(groups.items(), key=lambda item: (-item[1].cost, -item[1].attempts, item[0] or ""))
        keys = (
            [msgspec.json.decode(str(item["d"]), type=Key) for item in self._table.query(KEYS)] if by == "key" else []
        )
        names: dict[str | None, str] = {key.id: key.name for key in keys}
        return [each.row(of, names.get(of)) for of, each in found]

    def events(
        self,
        *,
        key: str | None = None,
        since: int | None = None,
        until: int | None = None,
        request_id: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """The newest first; of a request to a published function, those of the calls that it made."""
        found = [
            event
            for event in self._between(since, until)
            if (key is None or event.key_id == key)
            and (request_id is None or event.request_id == request_id or event.request_id.startswith(f"{request_id}."))
        ]
        found.sort(key=lambda event: (event.request_id, event.attempt), reverse=True)
        return found[:limit]

    def _between(self, since: int | None, until: int | None) -> Iterator[Event]:
        first, last = max(0, since or 0), min(_LAST, _LAST if until is None else until)
        if first < last:
            for item in self._table.query(EVENTS, f"{first:020d}", f"{last - 1:020d}~"):
                yield msgspec.json.decode(str(item["d"]), type=Event)


class _Sum:
    """Of one group's events."""

    def __init__(self) -> None:
        self.attempts = self.cost = self._requests = 0
        self._tokens = dict.fromkeys(_TOKENS, 0)
        self._unpriced = self._cached = self._saved = 0

    def add(self, event: Event, first: bool) -> None:
        """`first`: of its request."""
        self._requests += first
        self.attempts += 1
        self.cost += event.cost_nano or 0
        self._unpriced += event.cost_nano is None
        self._cached += event.outcome == "cached"
        self._saved += event.saved_nano
        for name in _TOKENS:
            self._tokens[name] += getattr(event.usage, name)

    def row(self, group: str | None, name: str | None) -> UsageRow:
        return UsageRow(
            group=group,
            name=name,
            requests=self._requests,
            attempts=self.attempts,
            **self._tokens,
            cost_usd=usd_from_nano(self.cost),
            unpriced=self._unpriced,
            cached_requests=self._cached,
            saved_usd=usd_from_nano(self._saved),
        )


_TOKENS = (
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "reasoning_tokens", "web_searches"),
)


def reports_of(environment: Mapping[str, str]) -> DynamoReports:
    """Of the table which the environment names. Raises ConfigError."""
    return DynamoReports(BlockingTable(place_of(environment), time.time))
