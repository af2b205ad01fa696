"""Makes the sums again from the events and from each other, and tells where they differ."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from tollkeeper.stores.sqlite.sums import OF_EVENTS, SUMMED, SUMS

_HOUR = 3_600_000
_LABEL = " || ',' || ".join(f"quote(e.{name})" for name in ("key_id", "owner", "team", "model_asked", "provider"))
_MADE = (
    f"SELECT {_LABEL} AS label, {', '.join(OF_EVENTS[name] for name in SUMS)} FROM events e"
    f" WHERE e.request_id BETWEEN ? AND ? AND e.started_at >= ? AND e.started_at < ? AND {SUMMED} GROUP BY label"
)
_KEPT = (
    f"SELECT g.label, {', '.join(f's.{name}' for name in SUMS)} FROM sums s JOIN sum_groups g ON g.id = s.of"
    " WHERE s.span = 'hour' AND s.start = ?"
)
_STARTS = {
    "day": "start - start % 86400000",
    "month": "CAST(strftime('%s', start / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000",
}
_OFTEN = 50
_DEADLINE = 2 * _HOUR
"""Milliseconds after the oldest detail in which an attempt may be of a request whose first one is deleted: how many
requests there were cannot be made again there."""
_AFTER_REQUESTS = SUMS.index("attempts")


def compare(
    reader: sqlite3.Connection, kept_from: int, problem: Callable[[str], None], progress: Callable[[int, int], None]
) -> None:
    """Hours whose events are all there with their events; days and months with their hours."""
    _places(reader, kept_from, problem)
    hours = reader.execute("SELECT * FROM hours WHERE start >= ? ORDER BY start", (kept_from,)).fetchall()
    for number, (start, first, last) in enumerate(hours):
        if number % _OFTEN == 0:
            progress(number, len(hours))
        made = {row[0]: row[1:] for row in reader.execute(_MADE, (first, last, start, start + _HOUR))}
        kept = {row[0]: row[1:] for row in reader.execute(_KEPT, (start,))}
        near_the_cut = kept_from > 0 and start < kept_from + _DEADLINE
        for label in sorted(made.keys() | kept.keys()):
            differing = _differing(kept.get(label), made.get(label), _AFTER_REQUESTS if near_the_cut else 0)
            if differing:
                problem(f"The sums of the hour {_moment(start)} of {label} differ from its events in {differing}")
    progress(len(hours), len(hours))
    _totals(reader, problem)
    for span, begins in _STARTS.items():
        _longer(reader, span, begins, problem)


def _places(reader: sqlite3.Connection, kept_from: int, problem: Callable[[str], None]) -> None:
    """Every event is in an hour's sums or waits for it, and what waits is there."""
    [(gone,)] = reader.execute(
        "SELECT count(*) FROM fresh f WHERE NOT EXISTS"
        " (SELECT 1 FROM events e WHERE e.request_id = f.request_id AND e.attempt = f.attempt)"
    )
    if gone:
        problem(f"{gone} events that were written are gone")
    [(nowhere,)] = reader.execute(
        "SELECT count(*) FROM events e LEFT JOIN hours h ON h.start = e.started_at - e.started_at % 3600000"
        " WHERE e.started_at >= ? AND (h.start IS NULL OR e.request_id NOT BETWEEN h.first_id AND h.last_id)"
        f" AND {SUMMED}",
        (kept_from,),
    )
    if nowhere:
        problem(f"{nowhere} events are in no sums and do not wait for them")


def _longer(reader: sqlite3.Connection, span: str, begins: str, problem: Callable[[str], None]) -> None:
    columns = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    hours = f"SELECT {begins} AS begins, of, {columns} FROM sums WHERE span = 'hour' GROUP BY 1, 2"
    kept = f"SELECT start AS begins, of, {', '.join(SUMS)} FROM sums WHERE span = '{span}'"
    differing = f"SELECT * FROM ({hours} EXCEPT {kept}) UNION SELECT * FROM ({kept} EXCEPT {hours})"
    for (start,) in reader.execute(f"SELECT DISTINCT begins FROM ({differing}) ORDER BY begins"):
        problem(f"The sums of the {span} {_moment(start)} differ from those of its hours")


def _totals(reader: sqlite3.Connection, problem: Callable[[str], None]) -> None:
    """Of each hour there is one row more, which is of all groups together."""
    more = " OR ".join(f"sum(CASE WHEN of = 0 THEN -{name} ELSE {name} END) <> 0" for name in SUMS)
    for (start,) in reader.execute(f"SELECT start FROM sums WHERE span = 'hour' GROUP BY start HAVING {more}"):
        problem(f"The sums of the hour {_moment(start)} do not add up to its total")


def _differing(kept: tuple[int, ...] | None, made: tuple[int, ...] | None, begin: int) -> str:
    """The sums that differ, from the one numbered `begin` on."""
    nothing = (0,) * len(SUMS)
    pairs = list(zip(SUMS, kept or nothing, made or nothing, strict=True))[begin:]
    return ", ".join(f"{name} ({summed}, not {events})" for name, summed, events in pairs if summed != events)


def _moment(start: int) -> str:
    return datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
