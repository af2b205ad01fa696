"""After a crash: what was open becomes an event, once, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tollkeeper.core import receipt
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.holds import open_holds
from tollkeeper.stores.sqlite.rows import put

_encode = msgspec.json.encode


PriceOf = Callable[[Hold], Price | None]
"""What the provider asks for the model that was held for; None where that is not known."""


def recover(home: Path, price_of: PriceOf, now_ms: int) -> int:
    """Turns every hold that a crash left open into a `recovered` event; returns how many. Running it again changes nothing.

    What the provider did with such an attempt is unknown. It is recorded with the input that was sent, bounded by its
    bytes, and no output. A detached hold stays open until it has expired.
    """
    connection = database.connect(home)
    try:
        connection.execute("BEGIN IMMEDIATE")
        left = [hold for hold in open_holds(connection) if not hold.detached or hold.expires_at <= now_ms]
        put(connection, [], [recovered(hold, price_of) for hold in left])
        connection.execute("COMMIT")
        return len(left)
    finally:
        connection.close()


def detached(home: Path) -> list[Hold]:
    """What providers go on with, after `recover`."""
    connection = database.connect(home)
    try:
        return open_holds(connection)
    finally:
        connection.close()


def recovered(hold: Hold, price_of: PriceOf) -> Event:
    """The event of a hold that was found open: its input at its bound, no output."""
    usage = Usage(input_tokens=hold.input_bound)
    price = price_of(hold)
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
        cost_nano=None if price is None else price.cost(usage),
        price_version=None if price is None else price.version,
        usage_raw=None,
        first_byte_ms=None,
        duration_ms=0.0,
        overhead_ms=0.0,
        held_nano=hold.held_nano,
        trace=_trace(hold, usage, price),
    )


def _trace(hold: Hold, usage: Usage, price: Price | None) -> str | None:
    notes = [] if hold.idempotency is None else [_encode(("idempotency", "first", hold.idempotency)).decode()]
    if price is not None:
        notes.append(receipt.note(price.in_force(usage)))
    return f"[{','.join(notes)}]" if notes else None
