"""Makes the gate's door over an app, and keeps it up with the configuration."""

import random
import time
import traceback
from collections.abc import Awaitable
from pathlib import Path

from tollkeeper.app import App
from tollkeeper.bulk.engine import Engine
from tollkeeper.bulk.served import Served
from tollkeeper.bulk.shaping import Request as BulkRequest
from tollkeeper.bulk.tries import Answer
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.mcp.pacing import Pacing
from tollkeeper.server import mcp
from tollkeeper.server.batches import Batches
from tollkeeper.server.conversing import Conversing
from tollkeeper.server.door import Door, Taker
from tollkeeper.server.gate import Gate
from tollkeeper.server.pages import Pages
from tollkeeper.server.playground import Playground
from tollkeeper.server.published import answerer
from tollkeeper.server.requests import Answerer
from tollkeeper.server.routed import Routed
from tollkeeper.server.routed_operations import RoutedOperations
from tollkeeper.server.routed_sockets import RoutedSockets


def door_of(app: App) -> Door:
    """The ASGI app of the gate's port."""

    def failed(request_id: str, error: BaseException) -> None:
        trace = traceback.extract_tb(error.__traceback__)
        at = f"{Path(trace[-1].filename).name}:{trace[-1].lineno}" if trace else "?"
        app.log.say("internal_error", request_id=request_id, error=type(error).__name__, at=at)

    gate = Gate(
        app.flow.handle,
        app.keys,
        limits=app.loaded.config.server.limits,
        list_models=app.list_models,
        health=app.health,
    )
    door = Door(gate.answer, new_id=app.new_id, monotonic=time.monotonic, on_error=failed)

    conversing = Conversing(app, failed)
    door.sockets = conversing.sockets
    playground = Playground(app.keys, app.list_models, lambda: app.apis, lambda: app.loaded.config.websocket.path)
    playing = playground.places()

    routed_operations = RoutedOperations(app.routes.table, door.answerer)
    mcp_pacing = Pacing(lambda: app.loaded.config.mcp.key_calls_per_minute, time.monotonic)

    def place() -> None:
        limits = app.loaded.config.server.limits
        conversing.configure()
        published = {api.description.path.encode(): answerer(api, app.keys, limits) for api in app.apis.values()}
        config = app.loaded.config
        playable = config.playground.enabled and config.websocket.enabled
        shown = playing if playable else {}
        if config.server.describe:
            shown = {**shown, **Pages(app.apis.values(), playground=playable).places()}
        tools = {
            b"/mcp": mcp.answerer(
                app.apis, app.keys, limits, config.mcp, app.new_id, failed, routed_operations, mcp_pacing
            )
        }
        door.places = {**shown, **(tools if config.mcp.enabled else {}), **conversing.places, **published}

        routed.limits, routed.room = limits, app.loaded.config.routing

    options = app.loaded.config
    routed = Routed(app.routes.pipeline, door, options.server.limits, options.routing)
    door.first = (routed.take, *_batches(app, gate.answer))
    door.sockets = RoutedSockets(app.routes.pipeline, conversing.sockets, app.new_id, time.monotonic)
    place()
    app.on_reload.append(place)
    return door


def _batches(app: App, relay: Answerer) -> list[Taker]:
    """Who takes files and batches that are the gate's own."""
    options = app.loaded.config.batches
    if not options.enabled or app.shared:  # files need a home that lasts
        return []

    def ask(key: Key, request: BulkRequest, attempt: int) -> Awaitable[Answer]:
        engine = Engine(app.flow.handle, key, job="batch", new_id=app.new_id, now=time.time, monotonic=time.monotonic)
        return engine(request, attempt)

    def provider_of(model: str | None) -> str | None:
        routing = app.flow.routing
        try:
            target = routing.unnamed(None) if model is None else routing.targets(model)[0]
        except CallerError:
            return None
        return target.account.name if target.account.provider.batch == "openai" else None

    served = Served(
        app.home / "batches",
        ask,
        app.keys.of_id,
        app.new_id,
        random.uniform,
        lambda batch, trouble: app.log.say("batch_trouble", batch=batch, reason=trouble),
        concurrency=options.concurrency,
        running=options.running,
        keep_days=options.keep_days,
    )
    app.on_start.append(served.start)
    app.on_close.append(served.close)
    batches = Batches(
        served,
        app.keys,
        relay,
        lambda: app.loaded.config.server.limits,
        provider_of,
        lambda: all(account.provider.batch == "openai" for account in app.loaded.accounts.values()),
    )
    return [batches.take]
