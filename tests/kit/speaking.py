"""A provider's WebSocket that does as it is told: a function is given each connection that is opened."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

Script = Callable[["Heard"], None]


class Heard:
    """One open connection of the gate's."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        assert connection.request is not None
        self.path: str = connection.request.path
        self.headers = connection.request.headers

    def say(self, **event: Any) -> None:
        self._connection.send(json.dumps(event))

    def hear(self, timeout: float = 30) -> dict[str, Any]:
        """The gate's next message."""
        found: dict[str, Any] = json.loads(self._connection.recv(timeout))
        return found

    def ended(self) -> None:
        """Returns once the gate has closed it; what it says until then is passed over."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._connection.recv(30)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._connection.close(code, reason)

    def cut(self) -> None:
        """Without a word."""
        self._connection.socket.shutdown(2)


class SpeakingUpstream:
    """`script` may be replaced at any time; `refuses` answers every opening with that status."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.refuses: int | None = None
        self.opened: list[Heard] = []
        self.troubles: list[BaseException] = []
        self._server: Server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._look, compression=None, ping_interval=None
        )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        return None if self.refuses is None else connection.respond(HTTPStatus(self.refuses), "sk-secret? no.\n")

    def _serve(self, connection: ServerConnection) -> None:
        heard = Heard(connection)
        self.opened.append(heard)
        try:
            self.script(heard)
        except BaseException as error:
            self.troubles.append(error)


@contextlib.contextmanager
def speaking(script: Script) -> Iterator[SpeakingUpstream]:
    """A provider for the time of a `with`."""
    upstream = SpeakingUpstream(script)
    try:
        yield upstream
    finally:
        upstream._server.shutdown()
        upstream._thread.join(30)
