"""Holds and events as rows: how they are put into their tables, and how an event comes back out."""

import math
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import NOTHING, Usage

HoldRow = tuple[str, int, int, str]
EventRow = tuple[Any, ...]
"""In the order of COLUMNS."""

_FIELDS = Event.__struct_fields__
_AT = _FIELDS.index("usage")
COLUMNS = (*_FIELDS[:_AT], *Usage.__struct_fields__, *_FIELDS[_AT + 1 :])
"""Of the table `events`, in the order of `row_of` and `event_of`."""
EVENT_COLUMNS = ", ".join(COLUMNS)
_INSERT_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?)"
_DELETE_HOLD = "DELETE FROM holds WHERE request_id = ? AND attempt = ?"
_INSERT_EVENT = f"INSERT OR IGNORE INTO events ({EVENT_COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS))})"
_IS_THERE = "SELECT 1 FROM events WHERE request_id = ? AND attempt = ?"
_NOTE = "INSERT INTO unsummed (attempts) VALUES (?)"
_INSERT_ORIGIN = (
    "INSERT OR IGNORE INTO origins (id, provider, made_at, tenant, key_id, lasting) VALUES (?, ?, ?, ?, ?, ?)"
)
_DELETE_ORIGIN = "DELETE FROM origins WHERE id = ?"
MOST = 2**53
"""What a number that no column can hold is recorded as: 9 million USD, and far more tokens than any attempt has."""
_ABSURD = 10**18
"""Nano-USD: a billion USD for one attempt. Few of them would be more than 64 bits hold."""
NULL = math.nan
"""A float that is not a number is NULL to SQLite. For None, and for a bool, the module would first search for an adapter,
which costs as much as a tenth of a whole row (CPython's Modules/_sqlite/microprotocols.c)."""
_encode = msgspec.json.Encoder().encode


class Once(msgspec.Struct, frozen=True):
    """An event whose usage is charged under `id`; a mere `look` at it only if that has not been charged before."""

    event: Event
    id: str
    look: bool


class Made(NamedTuple):
    """What a provider keeps under `id`, and whose it is."""

    id: str
    provider: str
    made_at: int
    tenant: str | None
    key_id: str | None
    lasting: int


class Forgotten(NamedTuple):
    """What a provider keeps no more."""

    id: str


End = Event | Once | tuple[str, int] | Made | Forgotten
"""How a hold ends: with its event, or with nothing (request id, attempt); and what may ride with an end."""


def hold_row(hold: Hold) -> HoldRow:
    return (hold.request_id, hold.attempt, hold.expires_at, _encode(hold).decode())


class Written(NamedTuple):
    """What `put` did."""

    looks: list[Event]
    """As they are charged."""
    rows: list[EventRow]
    """Of events that were not there before, as they were written."""
    number: int
    """Under which they are noted as not summed yet; 0 where there are none."""


def put(database: sqlite3.Connection, holds: Sequence[HoldRow], ends: Sequence[End]) -> Written:
    """Puts them in, within the caller's transaction. Putting the same in again changes nothing."""
    written = _put(database, holds, ends, None)
    if written is None:
        database.execute("ROLLBACK")
        database.execute("BEGIN IMMEDIATE")
        told = [end.event if isinstance(end, Once) else end for end in ends if not isinstance(end, tuple)]
        attempts = [(event.request_id, event.attempt) for event in told]
        written = _put(database, holds, ends, {attempt for attempt in attempts if _is_there(database, attempt)})
        assert written is not None
    return written


def _put(
    database: sqlite3.Connection,
    holds: Sequence[HoldRow],
    ends: Sequence[End],
    there: Collection[tuple[str, int]] | None,
) -> Written | None:
    """None where some of the events were there before and those that are `there` were not given."""
    looks: list[Event] = []
    if holds:
        database.executemany(_INSERT_HOLD, holds)
    if not ends:
        return Written(looks, [], 0)
    events = [
        end if isinstance(end, Event) else _charged_once(database, end, looks)
        for end in ends
        if not isinstance(end, tuple)
    ]
    attempts = [(event.request_id, event.attempt) for event in events]
    database.executemany(_DELETE_HOLD, attempts)
    if len(events) < len(ends):
        others = [end for end in ends if isinstance(end, tuple)]
        database.executemany(_DELETE_HOLD, [end for end in others if not isinstance(end, Made | Forgotten)])
        database.executemany(_INSERT_ORIGIN, [end for end in others if isinstance(end, Made)])
        database.executemany(_DELETE_ORIGIN, [end for end in others if isinstance(end, Forgotten)])
    rows: list[EventRow] = [row_of(event) for event in events]
    if there:
        rows = [row for row in rows if row[:2] not in there]
    before = database.total_changes
    try:
        database.executemany(_INSERT_EVENT, rows)
    except (OverflowError, UnicodeEncodeError):
        # What one provider says must not keep others' events from being written.
        rows = [tuple(map(_writable, row)) for row in rows]
        database.executemany(_INSERT_EVENT, rows)
    if database.total_changes - before < len(rows):
        if there is None:
            return None
        first = {row[:2]: row for row in reversed(rows)}  # one that was said twice is there once
        rows = [row for attempt, row in first.items() if _is_there(database, attempt)]
    if len(rows) < len(attempts):
        attempts = [row[:2] for row in rows]
    if not rows:
        return Written(looks, [], 0)
    number = database.execute(_NOTE, (_encode(attempts).decode(),)).lastrowid
    return Written(looks, rows, number or 0)


def _is_there(database: sqlite3.Connection, attempt: tuple[str, int]) -> bool:
    return database.execute(_IS_THERE, attempt).fetchone() is not None


def _charged_once(database: sqlite3.Connection, end: Once, looks: list[Event]) -> Event:
    event = end.event
    marked = database.execute("INSERT OR IGNORE INTO charged VALUES (?, ?)", (event.provider, end.id))
    if not end.look:
        return event
    if not marked.rowcount:
        event = msgspec.structs.replace(event, usage=NOTHING, cost_nano=0, usage_raw=None, quality="counted")
    looks.append(event)
    return event


def _writable(value: object) -> object:
    if isinstance(value, int):
        return min(value, MOST)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def row_of(event: Event) -> tuple[object, ...]:
    """The event as a row to be put into the table `events`, in the order of EVENT_COLUMNS."""
    usage, cost = event.usage, event.cost_nano
    return (
        event.request_id,
        event.attempt,
        event.started_at,
        event.key_id,
        NULL if event.owner is None else event.owner,
        NULL if event.team is None else event.team,
        event.operation,
        event.dialect,
        NULL if event.model_asked is None else event.model_asked,
        event.provider,
        NULL if event.model is None else event.model,
        NULL if event.model_used is None else event.model_used,
        1 if event.streamed else 0,
        event.outcome,
        event.status,
        NULL if event.error_code is None else event.error_code,
        event.quality,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.audio_input_tokens,
        usage.cached_audio_input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
        usage.cache_write_1h_tokens,
        usage.web_searches,
        NULL if cost is None else (MOST if cost > _ABSURD else cost),
        NULL if event.price_version is None else event.price_version,
        NULL if event.usage_raw is None else event.usage_raw,
        NULL if event.first_byte_ms is None else event.first_byte_ms,
        event.duration_ms,
        event.overhead_ms,
        NULL if event.held_nano is None else event.held_nano,
        event.saved_nano,
        NULL if event.trace is None else event.trace,
    )


def event_of(row: tuple[object, ...]) -> Event:
    """The event that a row of the table is, in the order of EVENT_COLUMNS."""
    tokens = Usage.__struct_fields__
    values = dict(zip(_FIELDS[:_AT], row[:_AT], strict=True))
    values["usage"] = dict(zip(tokens, row[_AT : _AT + len(tokens)], strict=True))
    values |= dict(zip(_FIELDS[_AT + 1 :], row[_AT + len(tokens) :], strict=True))
    return msgspec.convert(values, Event, strict=False)
