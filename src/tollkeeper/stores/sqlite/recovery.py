"""After a crash: what was open becomes an event, once, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.rows import put

_encode = msgspec.json.encode


def recover(home: Path, price: Callable[[Hold, Usage], tuple[int | None, str | None]]) -> int:
    """Turns every hold that a crash left open into a `recovered` event; returns how many. Running it again changes nothing.

    What the provider did with such an attempt is unknown. It is recorded with the input that was sent, bounded by its
    bytes, and no output; `price` gives the cost of that.
    """
    connection = database.connect(home)
    try:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute("SELECT detail FROM holds ORDER BY request_id, attempt").fetchall()
        put(connection, [], [_recovered(msgspec.json.decode(detail, type=Hold), price) for (detail,) in rows])
        connection.execute("COMMIT")
        return len(rows)
    finally:
        connection.close()


def _recovered(hold: Hold, price: Callable[[Hold, Usage], tuple[int | None, str | None]]) -> Event:
    usage = Usage(input_tokens=hold.input_bound)
    cost, version = price(hold, usage)
    return Event(
        request_id=hold.request_id,
        attempt=hold.attempt,
        started_at=hold.started_at,
        key_id=hold.key_id,
        owner=hold.owner,
        team=hold.team,
        operation=hold.operation,
        dialect=hold.dialect,
        model_asked=hold.model_asked,
        provider=hold.provider,
        model=hold.model,
        model_used=None,
        streamed=hold.streamed,
        outcome="unknown",
        status=0,
        error_code="gate_crashed",
        quality="recovered",
        usage=usage,
        cost_nano=cost,
        price_version=version,
        usage_raw=None,
        first_byte_ms=None,
        duration_ms=0.0,
        overhead_ms=0.0,
        trace=None if hold.idempotency is None else _encode([("idempotency", "first", hold.idempotency)]).decode(),
    )
