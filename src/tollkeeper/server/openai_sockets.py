"""OpenAI's own sockets at the gate's door: /v1/responses in WebSocket mode, and /v1/realtime."""

import time
from collections.abc import Callable
from urllib.parse import urlencode

from tollkeeper.app import App
from tollkeeper.core.call import Call, Presence, Sink
from tollkeeper.core.errors import CallerError
from tollkeeper.dialects import openai_realtime
from tollkeeper.server.sockets import Asked, Begin, Opening
from tollkeeper.sockets.admission import Admission, Close
from tollkeeper.sockets.lobby import Lobby
from tollkeeper.sockets.realtime import RealtimeSession
from tollkeeper.sockets.responses import ResponsesSession

_OUR_QUERY = frozenset(("model", "deployment", "ticket", "format"))
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
                connector=app.socket_client,
                permit=app.flow.permit,
                new_id=lobby.new_id,
                monotonic=time.monotonic,
                on_error=on_error,
            )

        return begin, None

    async def realtime(asked: Asked) -> tuple[Begin, str | None]:
        model = asked.query.get("model", asked.query.get("deployment", [""]))[0]
        if not model or not model.isprintable():
            raise CallerError("You must provide a model parameter.", code="missing_required_parameter", param="model")
        kept = [(name, value) for name, values in asked.query.items() if name not in _OUR_QUERY for value in values]
        call = Call(
            request_id=lobby.new_id(),
            key=asked.key,
            dialect=openai_realtime.DIALECT,
            method="GET",
            path="realtime",
            query=urlencode(kept).encode("ascii"),
            headers=[header for header in asked.headers if header[0] not in _LEFT_OUT],
            body=b"",
            model=model,
            streamed=True,
            accepted_at=time.monotonic(),
            presence=Presence(),
        )
        target, socket = await app.lines.open(app.flow.routing, call)

        def begin(sink: Sink, close: Close) -> RealtimeSession:
            return RealtimeSession(
                app.flow.handle,
                target,
                socket,
                Admission(asked.key, lobby.caps, lobby.current, close),
                sink,
                close,
                model=model,
                most=lobby.options.limits.answers,
                new_id=lobby.new_id,
                monotonic=time.monotonic,
                on_error=on_error,
            )

        return begin, "realtime" if "realtime" in asked.subprotocols else None

    return {"responses": responses, "realtime": realtime}
