"""Run by a schedule: what a Lambda held that died before it could settle becomes an event of quality `recovered`."""

import time
from typing import Any

from tollkeeper.serverless.running import running, seconds_left
from tollkeeper.stores.dynamodb.ledger import DynamoLedger
from tollkeeper.stores.sqlite.recovery import recovered


def handler(event: Any, context: Any = None) -> dict[str, int]:
    """How many there were."""
    gate = running()

    async def recover() -> int:
        ledger = gate.app.ledger
        assert isinstance(ledger, DynamoLedger)
        return await ledger.recover(lambda hold: recovered(hold, gate.app.pricing.of_hold), int(time.time() * 1000))

    return {"recovered": gate.run(recover, seconds_left(context))}
