"""How much output calls like this one have lately had: from the ledger's last events, which are few enough to look at."""

import sqlite3
from pathlib import Path
from statistics import median_low

from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite import database

_LOOKED_AT = 5000
_ENOUGH = 50
_QUERY = """
SELECT output_tokens FROM (
    SELECT key_id, model_asked, outcome, output_tokens FROM events ORDER BY request_id DESC, attempt DESC LIMIT ?
) WHERE key_id = ? AND model_asked IS ? AND outcome = 'ok' LIMIT ?
"""


def typical_output(home: Path, key_id: str, model_asked: str | None) -> int | None:
    """The median of this key's last answers for the model; None where there are none, or the store cannot be read."""
    try:
        reader = database.connect(home, create=False)
    except GateError:
        return None
    try:
        rows = reader.execute(_QUERY, (_LOOKED_AT, key_id, model_asked, _ENOUGH)).fetchall()
    except sqlite3.Error:
        return None
    finally:
        reader.close()
    return median_low(tokens for (tokens,) in rows) if rows else None
