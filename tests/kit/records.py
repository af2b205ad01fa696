"""Holds and events as tests need them, and ledgers that have a past."""

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tollkeeper.core.events import Event, Hold
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.ledger import SqliteLedger

NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
_numbers = itertools.count(1)

_HOLD = Hold(
    request_id="",
    attempt=1,
    started_at=NOW,
    expires_at=NOW + 3_600_000,
    key_id="key_1",
    owner=None,
    team=None,
    operation="chat",
    dialect="openai_chat",
    model_asked="alias",
    provider="up",
    model="gpt-4o-mini",
    streamed=False,
    input_bound=100,
)
_EVENT = Event(
    request_id="",
    attempt=1,
    started_at=NOW,
    key_id="key_1",
    owner=None,
    team=None,
    operation="chat",
    dialect="openai_chat",
    model_asked="alias",
    provider="up",
    model="gpt-4o-mini",
    model_used="gpt-4o-mini-2024-07-18",
    streamed=False,
    outcome="ok",
    status=200,
    error_code=None,
    quality="reported",
    usage=Usage(input_tokens=9, output_tokens=3),
    cost_nano=3150,
    price_version="config",
    usage_raw='{"prompt_tokens":9}',
    first_byte_ms=12.5,
    duration_ms=20.0,
    overhead_ms=0.5,
)


def request_id(at: int = NOW) -> str:
    """A new id of a request that began at `at` (Unix ms): ids sort by time, then by when they were made here."""
    return f"{at:012x}7{next(_numbers):019x}"


def hold(**changes: Any) -> Hold:
    """A hold of a request of its own, but for `changes`."""
    return msgspec.structs.replace(_HOLD, **{"request_id": request_id(changes.get("started_at", NOW)), **changes})


def event(**changes: Any) -> Event:
    """An event of a request of its own, but for `changes`."""
    return msgspec.structs.replace(_EVENT, **{"request_id": request_id(changes.get("started_at", NOW)), **changes})


def ending(held: Hold, **changes: Any) -> Event:
    """The event that ends `held`."""
    shared = {field: getattr(held, field) for field in Hold.__struct_fields__ if field in Event.__struct_fields__}
    return event(**shared | changes)


def write(home: Path, events: Iterable[Event], holds: Iterable[Hold] = ()) -> None:
    """A past for the store in `home`, written by the ledger itself."""

    async def go() -> None:
        ledger = SqliteLedger(home, lambda trouble: None)
        await asyncio.gather(*(ledger.hold(one) for one in holds))
        for one in events:
            ledger.settle(one)
        assert await ledger.close()

    home.mkdir(parents=True, exist_ok=True)
    asyncio.run(go())
