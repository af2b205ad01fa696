"""Makes the gate's door over an app, and keeps it up with the configuration."""

import time
import traceback
from pathlib import Path

from tollkeeper.app import App
from tollkeeper.server import mcp
from tollkeeper.server.conversing import Conversing
from tollkeeper.server.door import Door
from tollkeeper.server.gate import Gate
from tollkeeper.server.pages import Pages
from tollkeeper.server.playground import Playground
from tollkeeper.server.published import answerer
from tollkeeper.server.routed import Routed
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

    def place() -> None:
        limits = app.loaded.config.server.limits
        conversing.configure()
        published = {api.description.path.encode(): answerer(api, app.keys, limits) for api in app.apis.values()}
        config = app.loaded.config
        playable = config.playground.enabled and config.websocket.enabled
        shown = playing if playable else {}
        if config.server.describe:
            shown = {**shown, **Pages(app.apis.values(), playground=playable).places()}
        tools = {b"/mcp": mcp.answerer(app.apis, app.keys, limits, config.mcp, app.new_id, failed)}
        door.places = {**shown, **(tools if config.mcp.enabled else {}), **conversing.places, **published}

        routed.limits, routed.read_body = limits, app.loaded.config.routing.read_body

    options = app.loaded.config
    routed = Routed(app.routes.pipeline, door, options.server.limits, options.routing.read_body)
    door.first = (routed.take,)
    door.sockets = RoutedSockets(app.routes.pipeline, conversing.sockets, app.new_id, time.monotonic)
    place()
    app.on_reload.append(place)
    return door
