"""The holds that are open in the store."""

import sqlite3

import msgspec

from tollkeeper.core.events import Hold

_decode = msgspec.json.Decoder(Hold).decode
_SPENT = """
SELECT coalesce(sum(cost_nano), 0), coalesce(sum(input_tokens + output_tokens), 0), coalesce(sum(input_tokens), 0)
FROM events WHERE request_id > ? AND request_id < ?
"""


def open_holds(connection: sqlite3.Connection) -> list[Hold]:
    """All of them, in the order of their ids; each less what it has been spent for already. Raises sqlite3.Error."""
    rows = connection.execute("SELECT detail FROM holds ORDER BY request_id, attempt").fetchall()
    return [_rest(connection, _decode(detail)) for (detail,) in rows]


def _rest(connection: sqlite3.Connection, hold: Hold) -> Hold:
    if not hold.detached:
        return hold
    [(nano, tokens, sent)] = connection.execute(_SPENT, (f"{hold.request_id}-", f"{hold.request_id}."))
    return msgspec.structs.replace(
        hold,
        held_nano=_less(hold.held_nano, nano),
        held_tokens=_less(hold.held_tokens, tokens),
        input_bound=max(0, hold.input_bound - sent),  # of which nobody has heard what became
    )


def _less(held: int | None, spent: int) -> int | None:
    return None if held is None else max(0, held - spent)
