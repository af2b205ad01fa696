"""Questions to the ledger: who used what, which events, and whether it all adds up. Reads only; a connection of its own."""

import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.money import usd_from_nano
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.holds import open_holds
from tollkeeper.stores.sqlite.rows import EVENT_COLUMNS, event_of
from tollkeeper.stores.sqlite.sums import EVER, Span, refuse_parts_of_deleted_hours, sums_query

if TYPE_CHECKING:
    from tollkeeper.stores.sqlite.dossier import Dossier


_GROUPS = {
    "key": "key_id",
    "owner": "owner",
    "team": "team",
    "model": "model_asked",
    "provider": "provider",
    "day": None,
}
GROUPS = tuple(_GROUPS)
_SHOWN = (
    *("attempts", "input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "reasoning_tokens", "web_searches"),
    *("cost_nano", "unpriced", "cached", "saved_nano"),
)
_LONGEST_UPLOAD = 86_400_000
"""Milliseconds between a request's id, made when it began to arrive, and its first attempt: a day covers all of them."""


class UsageRow(Struct, frozen=True, kw_only=True):
    """One line of a usage report."""

    group: str | None
    name: str | None
    """The key's name, in reports by key."""
    requests: int
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    web_searches: int
    cost_usd: str
    """Exact decimal; of the priced attempts."""
    unpriced: int
    cached_requests: int
    """Answered without asking a provider."""
    saved_usd: str
    """Exact decimal; what those answers had cost when a provider was asked."""

    def as_dict(self, by: str) -> dict[str, object]:
        """For JSON, the group under its own name."""
        row: dict[str, object] = {by: self.group}
        if by == "key":
            row["name"] = self.name
        return row | {field: getattr(self, field) for field in self.__struct_fields__[2:]}


class Reports:
    """Answers questions."""

    def __init__(self, home: Path) -> None:
        self._database = database.connect(home, create=False)
        self._database.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        self._database.close()

    def usage(self, by: str, since: int | None = None, until: int | None = None) -> list[UsageRow]:
        """Sums of the events that began in [since, until) (Unix ms), dearest first. Raises CallerError for another `by`."""
        if by not in _GROUPS:
            raise CallerError(f"Usage can be summed by {', '.join(GROUPS)}.", code="invalid_value", param="by")
        stretch = (max(EVER[0], since or 0), EVER[1] if until is None else max(EVER[0], min(EVER[1], until)))
        refuse_parts_of_deleted_hours(self._database, stretch)
        first = "provider_requests" if by == "provider" else "requests"
        text, values = sums_query(
            _expressions(by), (first, *_SHOWN), stretch, longest="day" if by == "day" else "month"
        )
        rows = self._database.execute(f"{text} ORDER BY cost_nano DESC, attempts DESC, grouped", values).fetchall()
        names: dict[str, str] = {}
        if by == "key":
            names = dict(self._database.execute("SELECT id, name FROM keys"))
        return [
            UsageRow(
                group=_date(row[0]) if by == "day" else row[0],
                name=names.get(row[0]),
                requests=row[1],
                attempts=row[2],
                input_tokens=row[3],
                cached_input_tokens=row[4],
                cache_write_tokens=row[5],
                cache_write_1h_tokens=row[6],
                output_tokens=row[7],
                reasoning_tokens=row[8],
                web_searches=row[9],
                cost_usd=usd_from_nano(row[10]),
                unpriced=row[11],
                cached_requests=row[12],
                saved_usd=usd_from_nano(row[13]),
            )
            for row in rows
        ]

    def events(
        self,
        *,
        key: str | None = None,
        since: int | None = None,
        until: int | None = None,
        request_id: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """The newest events first; `before` is the last `request_id:attempt` of the page before, or a request id.

        Those of a request to a published function are those of the calls that it made: `ID.1`, `ID.2`, …
        """
        where, values = _between(since, until)
        if key is not None:
            where += f"{' AND' if where else 'WHERE'} key_id = ?"
            values.append(key)
        if request_id is not None:
            where += f"{' AND' if where else 'WHERE'} (request_id = ? OR (request_id > ? AND request_id < ?))"
            values += [request_id, f"{request_id}.", f"{request_id}/"]
        if before is not None:
            where += f"{' AND' if where else 'WHERE'} (request_id, attempt) < (?, ?)"
            values += _place(before)
        rows = self._database.execute(
            f"SELECT {EVENT_COLUMNS} FROM events {where} ORDER BY request_id DESC, attempt DESC LIMIT ?",
            [*values, limit],
        )
        return [event_of(row) for row in rows]

    def request(self, request_id: str) -> "Dossier":
        """All about one request."""
        from tollkeeper.stores.sqlite.dossier import dossier  # the one question that needs the writers' modules

        return dossier(self._database, request_id)

    def holds(self) -> list[Hold]:
        """Those attempts, each with what is still set aside for it."""
        return open_holds(self._database)

    def open_holds(self) -> int:
        """Attempts that were sent and have not ended."""
        return int(self._database.execute("SELECT count(*) FROM holds").fetchone()[0])

    def totals(self) -> tuple[int, int, int]:
        """Events, tokens, nano-USD of the whole ledger, with those whose detail is deleted."""
        every: dict[Span | None, str] = {None: "1", "hour": "1", "day": "1", "month": "1"}
        text, values = sums_query(every, ("attempts", "input_tokens", "output_tokens", "cost_nano"), EVER)
        found = self._database.execute(text, values).fetchone()
        return (found[1], found[2] + found[3], found[4]) if found is not None else (0, 0, 0)


def _expressions(by: str) -> dict[Span | None, str]:
    column = _GROUPS[by]
    if column is not None:
        return {None: f"e.{column}", "hour": f"x.{column}", "day": f"x.{column}", "month": f"x.{column}"}
    day = "{0} - {0} % 86400000"
    return {None: day.format("e.started_at"), "hour": day.format("s.start"), "day": "s.start"}


def _date(start: int) -> str:
    return datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%d")


def _place(before: str) -> tuple[str, int]:
    """Where a page ended. A request id alone ends it before all of that request's attempts."""
    if not re.fullmatch(r"[0-9a-f]{32}(\.[0-9]{1,9})*(:[0-9]{1,9})?", before):
        raise CallerError("before must be the `next` of the page before.", code="invalid_value", param="before")
    request_id, _, attempt = before.partition(":")
    return request_id, int(attempt or 0)


def _between(since: int | None, until: int | None) -> tuple[str, list[object]]:
    """Request ids begin with their time, so the primary key finds the range, less what its bodies took to arrive."""
    conditions, values = [], list[object]()
    if since is not None:
        conditions.append("request_id >= ? AND started_at >= ?")
        values += [f"{max(0, since - _LONGEST_UPLOAD):012x}", since]
    if until is not None:
        conditions.append("started_at < ?")
        values.append(until)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), values


def raised(error: sqlite3.Error) -> GateError:
    """What the store refused, for whoever asked."""
    return GateError(f"The store cannot be used: {error}.", code="store_unavailable")
