"""Makes what the door answers WebSockets with, over an app, and keeps it up with the configuration."""

import time
from collections.abc import Callable

from tollkeeper.app import App
from tollkeeper.server.openai_sockets import openings
from tollkeeper.server.requests import Answerer
from tollkeeper.server.sockets import Sockets
from tollkeeper.server.ticketing import Ticketing
from tollkeeper.sockets.asking import Topic
from tollkeeper.sockets.chat import Chat
from tollkeeper.sockets.lobby import SEND, Lobby
from tollkeeper.sockets.published import Published


class Conversing:
    """One gate's."""

    def __init__(self, app: App, on_error: Callable[[str, BaseException], None]) -> None:
        self._app = app
        self._lobby = Lobby(
            app.loaded.config.websocket,
            topics_of(app),
            current=app.keys.current,
            new_id=app.new_id,
            monotonic=time.monotonic,
            on_error=on_error,
        )
        self._ticketing = Ticketing(app.tickets, app.keys)
        self.sockets = Sockets(self._lobby, app.keys, app.tickets, openings(app, self._lobby, on_error))
        """ASGI, for scopes of the type websocket."""

    def configure(self) -> None:
        """Another config is in force."""
        self._lobby.configure(self._app.loaded.config.websocket, topics_of(self._app))

    @property
    def places(self) -> dict[bytes, Answerer]:
        """What belongs to it that is asked for by ordinary requests, by path."""
        options = self._lobby.options
        return {f"{options.path}/tickets".encode(): self._ticketing.answer} if options.enabled else {}


def topics_of(app: App) -> dict[str, Topic]:
    """What each action speaks to."""
    given, handle = app.loaded.config.websocket, app.flow.handle
    published = {name: Published(api) for name, api in app.apis.items()}
    model = given.model or ("demo" if "demo" in app.loaded.models else None)
    topics: dict[str, Topic] = {**published}
    topics[SEND] = Chat(handle, model) if given.api is None else published[given.api]
    for name, action in given.actions.items():
        topics[name] = Chat(handle, action.model) if action.api is None else published[action.api]
    return topics
