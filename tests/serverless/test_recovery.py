"""What a Lambda held that died is recovered by the schedule's, once its time is over."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from kit.dynamodb import opened
from kit.records import hold
from tollkeeper.serverless import recovery
from tollkeeper.serverless.running import Running
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import DynamoLedger, events_between
from tollkeeper.stores.dynamodb.table import Place


def test_a_hold_whose_time_is_over_becomes_an_event_at_the_models_price(
    place: Place, keys: DynamoKeyStore, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = keys.create("ada")
    held = hold(
        request_id="01a",
        started_at=1_000,
        expires_at=2_000,
        key_id=key.id,
        model_asked="m",
        model="m",
        input_bound=10,
    )

    async def die() -> None:
        async with opened(place) as table:
            ledger = DynamoLedger(table, lambda record: (), lambda *_: pytest.fail("refused"), lambda trouble: None)
            await ledger.hold(held)
            await ledger.hold(replace(held, request_id="01b", expires_at=1 << 50))

    asyncio.run(die())
    gate = start()
    monkeypatch.setattr(recovery, "running", lambda: gate)

    assert recovery.handler({}) == {"recovered": 1}
    assert recovery.handler({}) == {"recovered": 0}

    (event,) = gate.run(lambda: events_between(gate.table, 0, 1 << 62), 29)
    assert (event.request_id, event.quality, event.cost_nano) == ("01a", "recovered", 10_000)
