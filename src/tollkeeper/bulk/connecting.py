"""Who answers a job's rows: this process's own flow on a home, or a gate."""

import asyncio
import functools
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from tollkeeper.app import App, open_app
from tollkeeper.bulk.batches.calls import HttpCalls
from tollkeeper.bulk.batches.charging import Charging, batch_price, supported
from tollkeeper.bulk.batches.kinds import service_for
from tollkeeper.bulk.batches.running import Batching
from tollkeeper.bulk.engine import Engine
from tollkeeper.bulk.through_gate import ThroughGate
from tollkeeper.core.account import Patience
from tollkeeper.core.budget import FOREVER, Slice
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.core.money import Price
from tollkeeper.stores.sqlite.sole import sole
from tollkeeper.upstream.client import HttpClient
from tollkeeper.upstream.named import NamedOutbound

KEY = "bulk"
"""The key that is made for those who name none."""


class _Opened:
    """A home that this process has open, and how many jobs use it."""

    def __init__(self, config: Path | None, home: Path) -> None:
        self.config = config
        self.users = 0
        self.closed = asyncio.Event()
        with ExitStack() as held:
            held.enter_context(sole(home))
            self.app = open_app(config, home, os.environ, quiet=True, watched=False)
            self._held = held.pop_all()

    async def close(self) -> None:
        try:
            await self.app.close()
        finally:
            self._held.close()
            self.closed.set()


_OPENED: dict[tuple[asyncio.AbstractEventLoop, Path], _Opened] = {}
"""A home is one process's, so this is the process's too: jobs that run on one loop at one time share it."""


@asynccontextmanager
async def in_process(config: Path | None, home: Path, key: str, job: str) -> AsyncIterator[tuple[App, Engine]]:
    """Opens the home, or shares it with the jobs of this event loop that have it open already; the last one closes it.

    Raises HomeTaken where a gate, another process or another event loop has it, ConfigError, CallerError where there is no
    such key (404) or the home is open with another config.
    """
    at = _place(home)
    while (opened := _OPENED.get(at)) is not None and not opened.users:
        await opened.closed.wait()
    if opened is None:
        opened = _OPENED[at] = _Opened(config, home)
    elif opened.config != config:
        raise CallerError(f"{home} is open with another config just now.", code="invalid_value", param="config")
    opened.users += 1
    app = opened.app
    try:
        if opened.users == 1:
            app.start()
        yield (
            app,
            Engine(
                app.flow.handle, _key(app, key), job=job, new_id=app.new_id, now=time.time, monotonic=time.monotonic
            ),
        )
    finally:
        opened.users -= 1
        if not opened.users:
            try:
                await opened.close()
            finally:
                del _OPENED[at]


def batching(
    app: App, engine: Engine, running: Batching, kind: str, every: float, model: str | None = None
) -> Charging:
    """Sets up who runs `running`'s batches: the accounts of the app. Returns who pays, before anything is asked.

    Raises CallerError where rows are to go to `model`, and there is no such model (404), or no such batch API.
    """
    if model is not None:
        supported(app.flow.routing.targets(model), kind)
    charging = Charging(engine.key, app.budgets, app.prices, app.ledger, app, time.time)
    calls = functools.partial(HttpCalls, app.client, every=every, uniform=random.uniform)
    running.connect(
        charging,
        lambda model: app.flow.routing.targets(model),
        lambda target: service_for(kind, target, calls),
        lambda: asyncio.sleep(every * random.uniform(0.9, 1.1)),
    )
    return charging


@asynccontextmanager
async def through_gate(url: str, secret: str) -> AsyncIterator[ThroughGate]:
    """`secret` is a key of that gate's. Raises CallerError where it is empty, or `url` is no address."""
    if not secret:
        raise CallerError("The gate's key is missing: set TOLLKEEPER_KEY.", status=401, code="invalid_api_key")
    client = HttpClient(time.monotonic)
    try:
        yield ThroughGate(NamedOutbound(client, f"The gate at {url}"), url, secret, now=time.time, timeouts=Patience())
    finally:
        await client.close()


def price_of(app: App, model: str, batch: str | None = None) -> Price | None:
    """What the first target of that model asks now, in a `batch` of that kind if any.

    Raises CallerError where there is no such model (404), or no such batch API.
    """
    targets, now = app.flow.routing.targets(model), int(time.time() * 1000)
    if batch is not None:
        return batch_price(app.prices, supported(targets, batch), None, now)
    return targets[0].price or app.prices(targets[0], None, None, now)


async def spent(app: App, key: Key) -> int:
    """All that the key has ever spent, in nano-USD."""
    (found,) = await app.balances.spent([Slice("key", key.id, 0, FOREVER)], lambda: None)
    return found.nano


def _place(home: Path) -> tuple[asyncio.AbstractEventLoop, Path]:
    return asyncio.get_running_loop(), home.absolute()


def _key(app: App, name: str) -> Key:
    """The key of that name; `bulk` is made where there is none. Raises CallerError (404)."""
    try:
        return app.key_store.get(name)
    except CallerError as error:
        if name != KEY or error.code != "key_not_found":
            raise
    key, _ = app.key_store.create(KEY)
    app.keys.refresh()
    return key
