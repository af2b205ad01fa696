"""Holds and events as rows: how they are put into their tables, and how an event comes back out."""

import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import NOTHING, Usage

HoldRow = tuple[str, int, int, str]

_FIELDS = Event.__struct_fields__
_AT = _FIELDS.index("usage")
_NAMES = (*_FIELDS[:_AT], *Usage.__struct_fields__, *_FIELDS[_AT + 1 :])
EVENT_COLUMNS = ", ".join(_NAMES)
"""Of the table `events`, in the order of `row_of` and `event_of`."""
_INSERT_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?)"
_DELETE_HOLD = "DELETE FROM holds WHERE request_id = ? AND attempt = ?"
_INSERT_EVENT = f"INSERT OR IGNORE INTO events ({EVENT_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
_INSERT_ORIGIN = "INSERT OR IGNORE INTO origins VALUES (?, ?, ?)"
MOST = 2**53
"""What a number that no column can hold is recorded as: 9 million USD, and far more tokens than any attempt has."""
_ABSURD = 10**18
"""Nano-USD: a billion USD for one attempt. Few of them would be more than 64 bits hold."""
_NULL = math.nan
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


End = Event | Once | tuple[str, int] | Made
"""How a hold ends: with its event, or with nothing (request id, attempt); and what may ride with an end."""


def hold_row(hold: Hold) -> HoldRow:
    return (hold.request_id, hold.attempt, hold.expires_at, _encode(hold).decode())


def put(database: sqlite3.Connection, holds: Sequence[HoldRow], ends: Sequence[End]) -> list[Event]:
    """Puts them in, within the caller's transaction; returns the looks as they are charged.

    Putting the same in again changes nothing.
    """
    looks: list[Event] = []
    if holds:
        database.executemany(_INSERT_HOLD, holds)
    if not ends:
        return looks
    events = [
        end if isinstance(end, Event) else _charged_once(database, end, looks)
        for end in ends
        if not isinstance(end, tuple)
    ]
    database.executemany(_DELETE_HOLD, [(event.request_id, event.attempt) for event in events])
    if len(events) < len(ends):
        others = [end for end in ends if isinstance(end, tuple)]
        database.executemany(_DELETE_HOLD, [end for end in others if not isinstance(end, Made)])
        database.executemany(_INSERT_ORIGIN, [end for end in others if isinstance(end, Made)])
    try:
        database.executemany(_INSERT_EVENT, map(row_of, events))
    except (
        OverflowError,
        UnicodeEncodeError,
    ):  # what one provider says must not keep others' events from being written
        database.executemany(_INSERT_EVENT, [tuple(map(_writable, row_of(event))) for event in events])
    return looks


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
        _NULL if event.owner is None else event.owner,
        _NULL if event.team is None else event.team,
        event.operation,
        event.dialect,
        _NULL if event.model_asked is None else event.model_asked,
        event.provider,
        _NULL if event.model is None else event.model,
        _NULL if event.model_used is None else event.model_used,
        1 if event.streamed else 0,
        event.outcome,
        event.status,
        _NULL if event.error_code is None else event.error_code,
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
        _NULL if cost is None else (MOST if cost > _ABSURD else cost),
        _NULL if event.price_version is None else event.price_version,
        _NULL if event.usage_raw is None else event.usage_raw,
        _NULL if event.first_byte_ms is None else event.first_byte_ms,
        event.duration_ms,
        event.overhead_ms,
        _NULL if event.held_nano is None else event.held_nano,
        event.saved_nano,
        _NULL if event.trace is None else event.trace,
    )


def event_of(row: tuple[object, ...]) -> Event:
    """The event that a row of the table is, in the order of EVENT_COLUMNS."""
    tokens = Usage.__struct_fields__
    values = dict(zip(_FIELDS[:_AT], row[:_AT], strict=True))
    values["usage"] = dict(zip(tokens, row[_AT : _AT + len(tokens)], strict=True))
    values |= dict(zip(_FIELDS[_AT + 1 :], row[_AT + len(tokens) :], strict=True))
    return msgspec.convert(values, Event, strict=False)
