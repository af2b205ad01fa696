"""One gate in one Lambda: made at the first event, frozen between events, never told of its end.

Environment: TOLLKEEPER_TABLE, TOLLKEEPER_PEPPER and TOLLKEEPER_CONFIG, a file in the package; TOLLKEEPER_DYNAMODB_URL where
it is not the region's own. The rest of it (region, credentials) is what every Lambda has.
"""

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from tollkeeper.app import App, open_app
from tollkeeper.server.door import Door
from tollkeeper.server.opening import door_of
from tollkeeper.serverless.purses import Purses, refused
from tollkeeper.stores.dynamodb.balances import DynamoBalances
from tollkeeper.stores.dynamodb.keys import key_store
from tollkeeper.stores.dynamodb.ledger import DynamoLedger
from tollkeeper.stores.dynamodb.limits import DynamoLimiter
from tollkeeper.stores.dynamodb.table import Table, place_of
from tollkeeper.stores.dynamodb.tickets import DynamoTickets
from tollkeeper.stores.shared import Shared

T = TypeVar("T")

_LAST_WORDS = 2.0
"""Seconds before Lambda's own time-out in which what is under way is cut, settled and written."""
_POLL = 0.5
"""A key that is revoked or a new one is noticed within a second."""


class Running:
    """Runs one event at a time, as a Lambda gets them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.place = place_of(environment)
        self.loop = uvloop.new_event_loop()
        self.app: App
        self.door: Door
        self.table: Table
        self.limiter: DynamoLimiter
        self._polled = time.monotonic()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        config = self.environment.get("TOLLKEEPER_CONFIG")
        # What is here is this Lambda's alone and ends with it: nothing that must last.
        home = Path(tempfile.mkdtemp(prefix="tollkeeper-"))
        self.app = open_app(Path(config) if config else None, home, self.environment, share=self._share)
        self.app.tickets = DynamoTickets(
            self.table,
            time.time,
            os.urandom,
            lambda: self.app.loaded.config.websocket.ticket_seconds,
            lambda key_id: self.app.keys.of(key_id),
        )
        self.door = door_of(self.app)

    def _share(self, app: App) -> Shared:
        keys = key_store(self.environment)
        self.table = Table(self.place, app.client, time.time, random.random)
        purses = Purses(lambda: self.app.loaded.budgets, lambda key_id: self.app.keys.of(key_id))
        ledger = DynamoLedger(
            self.table,
            purses.of,
            refused,
            lambda trouble: app.log.say("ledger_trouble", reason=trouble or "written again"),
        )
        self.limiter = DynamoLimiter(self.table, time.time, random.random)
        return keys, ledger, DynamoBalances(self.table, ledger), self.limiter

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """What `work` answers, once all that it settled is in the table. Raises TimeoutError where `seconds` are over."""
        return self.loop.run_until_complete(self._run(work, seconds))

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        if time.monotonic() - self._polled >= _POLL:
            self.app.keys.poll()
            self._polled = time.monotonic()
        try:
            async with asyncio.timeout(max(0.1, seconds - _LAST_WORDS)):
                return await work()
        finally:
            ledger = self.app.ledger
            assert isinstance(ledger, DynamoLedger)
            await ledger.settled(_LAST_WORDS / 2)
            await self.limiter.settled(_LAST_WORDS / 4)
            self.app.observing.flush()

    def close(self) -> None:
        """For those who are told of their end."""
        self.loop.run_until_complete(self.app.close())
        self.loop.close()
        shutil.rmtree(self.app.home, ignore_errors=True)


@cache
def running() -> Running:
    """This Lambda's."""
    return Running(os.environ)


def seconds_left(context: Any) -> float:
    """Until Lambda ends the event; without a context, as in a test, as long as API Gateway waits."""
    return 29.0 if context is None else context.get_remaining_time_in_millis() / 1000
