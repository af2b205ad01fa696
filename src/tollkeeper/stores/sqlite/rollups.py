"""Puts fresh events into the sums, in small transactions: an event is fresh or in the sums, never both, never neither."""

import sqlite3

import msgspec

from tollkeeper.stores.sqlite.sums import OF_EVENTS, SUMS
from tollkeeper.stores.sqlite.tally import Tally

_STARTS = {
    "hour": "hour",
    "day": "hour - hour % 86400000",
    "month": "CAST(strftime('%s', hour / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000",
}
_GROUP = "key_id, owner, team, model_asked, provider"
_OF_EVENT = ", ".join(f"e.{name}" for name in _GROUP.split(", "))
_LABEL = " || ',' || ".join(f"quote({{}}{name})" for name in _GROUP.split(", "))
_BATCH = f"CREATE TEMP TABLE IF NOT EXISTS batch (hour, label, {_GROUP}, first_id, last_id, {', '.join(SUMS)})"
_UNSUMMED = "SELECT number, json_array_length(attempts) FROM unsummed WHERE number < ? ORDER BY number"
_FRESH = "SELECT request_id, attempt FROM fresh WHERE number <= ?"
_GIVEN = "SELECT json_extract(value, '$[0]') AS request_id, json_extract(value, '$[1]') AS attempt FROM json_each(?)"
_SUM_UP = (
    f"INSERT INTO temp.batch SELECT e.started_at - e.started_at % 3600000 AS hour, {_LABEL.format(*['e.'] * 5)},"
    f" {_OF_EVENT}, min(e.request_id), max(e.request_id),"
    f" {', '.join(OF_EVENTS[name] for name in SUMS)}"
    " FROM ({}) a CROSS JOIN events e ON e.request_id = a.request_id AND e.attempt = a.attempt"
    f" GROUP BY hour, {_OF_EVENT}"
)
_TAKE_IN = (
    f"WITH g (hour, {_GROUP}) AS (VALUES ({', '.join('?' * 6)}))"  # first: what is bound stands in the order of the row
    f" INSERT INTO temp.batch SELECT hour, {_LABEL.format(*[''] * 5)}, {_GROUP}, ?, ?, {', '.join('?' * len(SUMS))} FROM g"
)
_NEW_GROUPS = (
    f"INSERT INTO sum_groups (label, {_GROUP}) SELECT DISTINCT label, {_GROUP} FROM temp.batch WHERE true"
    " ON CONFLICT (label) DO NOTHING"
)
_COLUMNS = f"span, start, of, {', '.join(SUMS)}"
_ADD = (
    f"INSERT INTO sums ({_COLUMNS}) SELECT ?, {{}} AS start, g.id, {', '.join(f'sum({name})' for name in SUMS)}"
    " FROM temp.batch b JOIN sum_groups g ON g.label = b.label GROUP BY 2, 3"
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
_ADD_TO_TOTAL = (
    f"INSERT INTO sums ({_COLUMNS}) SELECT ?, {{}} AS start, 0, {', '.join(f'sum({name})' for name in SUMS)}"
    " FROM temp.batch b GROUP BY 2"
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
_PLACES = (
    "INSERT INTO hours SELECT hour, min(first_id), max(last_id) FROM temp.batch GROUP BY hour"
    " ON CONFLICT DO UPDATE SET first_id = min(first_id, excluded.first_id), last_id = max(last_id, excluded.last_id)"
)


_ALL = 2**62


def roll_up(writer: sqlite3.Connection, most: int, before: int | None = None) -> int:
    """Sums up the oldest fresh events in one transaction, `most` or a few more; returns how many.

    Only what is numbered lower than `before` in `unsummed`, where that is given.
    """
    writer.execute(_BATCH)
    writer.execute("BEGIN IMMEDIATE")
    numbers: list[int] = []
    events = 0
    for number, noted in writer.execute(_UNSUMMED, (_ALL if before is None else before,)):
        numbers.append(number)
        events += noted
        if events >= most:
            break
    if not numbers:
        writer.execute("ROLLBACK")
        return 0
    writer.execute(_SUM_UP.format(_FRESH), (numbers[-1],))
    _add(writer, numbers)
    return events


def add_up(writer: sqlite3.Connection, tally: Tally) -> int:
    """Adds the oldest part of the tally to the sums, in one transaction; returns of how many events it is.

    If that fails, the tally is emptied: its events are still fresh. Raises sqlite3.Error.
    """
    if not tally.parts:
        return 0
    part = tally.parts[0]
    try:
        part.fold()
        writer.execute(_BATCH)
        writer.execute("BEGIN IMMEDIATE")
        writer.executemany(
            _TAKE_IN, [(*of, found.first_id, found.last_id, *found.sums) for of, found in part.groups.items()]
        )
        if part.others:
            writer.execute(_SUM_UP.format(_GIVEN), (msgspec.json.encode(part.others).decode(),))
        _add(writer, part.numbers)
    except OverflowError as error:  # as sqlite3 calls a sum that no column can hold
        tally.parts.clear()
        raise sqlite3.DataError(str(error)) from error
    except BaseException:
        tally.parts.clear()
        raise
    tally.parts.popleft()
    return part.events


def _add(writer: sqlite3.Connection, numbers: list[int]) -> None:
    """Adds what is in `batch`, whose events are those noted under these numbers, and commits."""
    writer.execute(_NEW_GROUPS)
    for span, start in _STARTS.items():
        writer.execute(_ADD.format(start), (span,))
        writer.execute(_ADD_TO_TOTAL.format(start), (span,))
    writer.execute(_PLACES)
    writer.execute("DELETE FROM temp.batch")
    writer.executemany("DELETE FROM unsummed WHERE number = ?", [(number,) for number in numbers])
    writer.execute("COMMIT")
