"""Puts fresh events into the sums, in small transactions: an event is fresh or in the sums, never both, never neither."""

import sqlite3

from tollkeeper.stores.sqlite.sums import OF_EVENTS, SUMS

_STARTS = {
    "hour": "hour",
    "day": "hour - hour % 86400000",
    "month": "CAST(strftime('%s', hour / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000",
}
_GROUP = "key_id, owner, team, model_asked, provider"
_LABEL = " || ',' || ".join(f"quote(e.{name})" for name in _GROUP.split(", "))
_OF_EVENT = ", ".join(f"e.{name}" for name in _GROUP.split(", "))
_BATCH = (
    "CREATE TEMP TABLE IF NOT EXISTS batch"
    f" (hour, label, {_GROUP}, first_id, last_id, {', '.join(SUMS)}, PRIMARY KEY (hour, label)) WITHOUT ROWID"
)
_SUM_UP = (
    f"INSERT INTO temp.batch SELECT e.started_at - e.started_at % 3600000 AS hour, {_LABEL},"
    f" {_OF_EVENT}, min(e.request_id), max(e.request_id),"
    f" {', '.join(OF_EVENTS[name] for name in SUMS)}"
    " FROM fresh f CROSS JOIN events e ON e.request_id = f.request_id AND e.attempt = f.attempt"
    f" WHERE (f.request_id, f.attempt) <= (?, ?) GROUP BY hour, {_OF_EVENT}"
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


def roll_up(writer: sqlite3.Connection, most: int) -> int:
    """Sums up to `most` fresh events, the oldest first, in one transaction; returns how many."""
    writer.execute(_BATCH)
    writer.execute("BEGIN IMMEDIATE")
    last = writer.execute(
        "SELECT request_id, attempt FROM (SELECT * FROM fresh ORDER BY request_id, attempt LIMIT ?)"
        " ORDER BY request_id DESC, attempt DESC LIMIT 1",
        (most,),
    ).fetchone()
    if last is None:
        writer.execute("ROLLBACK")
        return 0
    writer.execute(_SUM_UP, last)
    writer.execute(_NEW_GROUPS)
    for span, start in _STARTS.items():
        writer.execute(_ADD.format(start), (span,))
        writer.execute(_ADD_TO_TOTAL.format(start), (span,))
    writer.execute(_PLACES)
    writer.execute("DELETE FROM temp.batch")
    count = writer.execute("DELETE FROM fresh WHERE (request_id, attempt) <= (?, ?)", last).rowcount
    writer.execute("COMMIT")
    return count
