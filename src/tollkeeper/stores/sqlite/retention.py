"""Deletes the detail that is older than is to be kept: events whose sums are there, a few at a time."""

import sqlite3

from tollkeeper.stores.sqlite.sums import SUMMED

_DAY = 86_400_000
_OLD = f"SELECT request_id, attempt FROM events e WHERE request_id < ? AND started_at < ? AND {SUMMED} LIMIT ?"
_OLD_ORIGINS = "DELETE FROM origins WHERE id IN (SELECT id FROM origins WHERE lasting = 0 AND made_at < ? LIMIT ?)"


def delete_old(writer: sqlite3.Connection, now_ms: int, days: int, most: int) -> int:
    """Deletes up to `most` events that began on a day (UTC) more than `days` ago, in one transaction; returns how many."""
    before = now_ms - now_ms % _DAY - days * _DAY
    if before <= 0:
        return 0
    writer.execute("BEGIN IMMEDIATE")
    old = writer.execute(_OLD, (f"{before:012x}", before, most)).fetchall()
    if old:
        writer.execute("UPDATE detail SET kept_from = max(kept_from, ?)", (before,))
        writer.executemany("DELETE FROM events WHERE request_id = ? AND attempt = ?", old)
    writer.execute(_OLD_ORIGINS, (before, most))
    writer.execute("COMMIT")
    return len(old)
