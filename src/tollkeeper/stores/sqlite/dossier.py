"""All that the store has about one request: its events, the holds that are open, its refusal."""

import sqlite3

import msgspec
from msgspec import Struct

from tollkeeper.core.events import Event, Hold
from tollkeeper.core.refusals import Refusal
from tollkeeper.stores.sqlite import refusals
from tollkeeper.stores.sqlite.rows import EVENT_COLUMNS, event_of

_MOST_CALLS = 20


class Dossier(Struct, frozen=True):
    """What is known of a request; nothing in it where the store never heard of it, or has forgotten."""

    request_id: str
    events: list[Event]
    """By attempt."""
    holds: list[Hold]
    """Attempts that were sent and have not ended."""
    refusal: Refusal | None
    key_name: str | None = None
    """As the key is named today; so are its owner and team here, where no attempt says whose it was then."""
    owner: str | None = None
    team: str | None = None
    calls: list[str] = []
    """Where it was one to a published function: the ids of the calls that this made."""

    @property
    def key_id(self) -> str | None:
        """Who called; None where nothing is known."""
        for record in (*self.events, *self.holds, self.refusal):
            if record is not None:
                return record.key_id
        return None


def dossier(connection: sqlite3.Connection, request_id: str) -> Dossier:
    """Reads it, all as of one moment."""
    connection.execute("BEGIN")
    try:
        rows = connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE request_id = ? ORDER BY attempt", (request_id,)
        )
        events = [event_of(row) for row in rows]
        details = connection.execute("SELECT detail FROM holds WHERE request_id = ? ORDER BY attempt", (request_id,))
        holds = [msgspec.json.decode(detail, type=Hold) for (detail,) in details]
        calls = connection.execute(
            "SELECT DISTINCT request_id FROM events WHERE request_id > ? || '.' AND request_id < ? || '/' LIMIT ?",
            (request_id, request_id, _MOST_CALLS),
        )
        made = sorted((each for (each,) in calls), key=lambda each: (len(each), each))
        found = Dossier(request_id, events, holds, refusals.find(connection, request_id), calls=made)
        key = connection.execute("SELECT name, owner, team FROM keys WHERE id = ?", (found.key_id,)).fetchone()
    finally:
        connection.execute("COMMIT")
    return found if key is None else msgspec.structs.replace(found, key_name=key[0], owner=key[1], team=key[2])
