"""OpenAI's own sockets at the gate's door: /v1/responses in WebSocket mode."""

import time
from collections.abc import Callable

from tollkeeper.app import App
from tollkeeper.core.call import Sink
from tollkeeper.server.sockets import Asked, Begin, Opening
from tollkeeper.sockets.admission import Admission, Close
from tollkeeper.sockets.lobby import Lobby
from tollkeeper.sockets.responses import ResponsesSession

_LEFT_OUT = frozenset((b"origin", b"content-type", b"content-length", b"content-encoding"))


def openings(app: App, lobby: Lobby, on_error: Callable[[str, BaseException], None]) -> dict[str, Opening]:
    """By the path below the version."""

    async def responses(asked: Asked) -> tuple[Begin, str | None]:
        headers = [header for header in asked.headers if header[0] not in _LEFT_OUT]

        def begin(sink: Sink, close: Close) -> ResponsesSession:
            return ResponsesSession(
                app.flow.handle,
                Admission(asked.key, lobby.caps, lobby.current, close),
                sink,
                close,
                headers=headers,
                most=lobby.options.limits.answers,
                new_id=lobby.new_id,
                monotonic=time.monotonic,
                on_error=on_error,
            )

        return begin, None

    return {"responses": responses}
