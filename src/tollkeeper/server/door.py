"""The gate's port as an ASGI app: who answers a request, and how the answer, the stream or the error goes out.

A request is answered by the first of these that takes it:

1. `first`: whoever asks to see every request, in order. Nobody, unless something was configured that must.
2. `places`: what stands at one exact path, such as a published API or a page. One look into a dictionary.
3. `rest`: everything else, which are the model endpoints.

`around` runs around whichever it is. All of them may be replaced while the gate runs, each one whole: a request keeps what
it found. Plain ASGI, so that it runs under any ASGI server; extensions of our own make it cheaper at ours (protocol.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tollkeeper.core.call import Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.pouring import pour_over_asgi
from tollkeeper.server.protocol import ABORT, SINK, WHOLE
from tollkeeper.server.requests import Answerer, Request

Send = Callable[[Message], Awaitable[None]]
Taker = Callable[[Request], Answerer | None]
"""Who is to answer this request, or None: not mine."""
Around = Callable[[Request, Answerer], Awaitable[Reply]]
"""Runs before and after an answer; may answer itself."""
Sockets = Callable[[Message, Receive, Send], Awaitable[None]]
"""ASGI, for scopes of the type websocket."""

_NONE: Mapping[str, Any] = {}
_JSON = (b"content-type", b"application/json")


class Door:
    """What the gate's port does with a request."""

    def __init__(
        self,
        rest: Answerer,
        *,
        new_id: Callable[[], str],
        monotonic: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.first: tuple[Taker, ...] = ()
        self.places: Mapping[bytes, Answerer] = {}
        """By the path as it is sent, percent-encoded, with its leading slash."""
        self.around: Around | None = None
        self.sockets: Sockets | None = None
        self._rest = rest
        self._new_id = new_id
        self._monotonic = monotonic
        self._on_error = on_error

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                if self.sockets is not None:
                    await self.sockets(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive, self._new_id(), self._monotonic())
        try:
            answerer = self.answerer(request)
            reply = await (answerer(request) if self.around is None else self.around(request, answerer))
        except ClientLeft as error:
            _abort(scope)
            _let_go(error)
            return
        except TollkeeperError as error:
            reply = refusal(request, error)
            _let_go(error)
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled(error):
                raise
            self._on_error(request.request_id, error)
            failed = TollkeeperError(f"The gate failed. Request id: {request.request_id}.", code="internal_error")
            reply = refusal(request, failed)
        headers = reply.headers
        if not reply.relayed:
            headers.append((b"x-request-id", request.request_id.encode()))
        if b"anthropic-version" in request.named and not any(name == b"request-id" for name, _ in headers):
            headers.append((b"request-id", request.request_id.encode()))  # where Anthropic's clients look for it
        extensions = scope.get("extensions") or _NONE
        if reply.pour is None:
            if not reply.relayed:
                headers.append((b"content-length", str(len(reply.body)).encode()))
            if WHOLE in extensions:
                await extensions[WHOLE](reply.status, headers, reply.body)
                return
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
            return
        if not reply.relayed:
            headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        try:
            if SINK in extensions:
                await reply.pour(extensions[SINK]())
            else:
                await pour_over_asgi(reply.pour, receive, send, request.presence)
        except TollkeeperError as error:
            _abort(scope)
            _let_go(error)
        except (Exception, asyncio.CancelledError) as error:
            if not _is_cancelled(error):
                self._on_error(request.request_id, error)
            raise
        else:
            await send({"type": "http.response.body", "body": b""})

    def answerer(self, request: Request) -> Answerer:
        """Who answers this request."""
        for taker in self.first:
            answerer = taker(request)
            if answerer is not None:
                return answerer
        return self.own(request)

    def own(self, request: Request) -> Answerer:
        """Who answers for the gate itself: a place, or the model endpoints."""
        return self.places.get(request.path, self._rest)


def refusal(request: Request, error: TollkeeperError) -> Reply:
    """The error as its caller reads it."""
    return Reply(error.status, [_JSON, *error.told], request.refusal(error))


def _is_cancelled(error: BaseException) -> bool:
    """Whether the request's own task is to end: one that it waited for may have been cancelled, which is a mistake."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _let_go(error: TollkeeperError) -> None:
    """Of the frames that it passed: some hold it in their turn, and its call with it until the collector comes by."""
    error.__traceback__ = error.__context__ = error.__cause__ = None


def _abort(scope: Message) -> None:
    extensions = scope.get("extensions") or {}
    if ABORT in extensions:
        extensions[ABORT]()
        return
    # Any other server: an app that ends inside its answer makes it drop the connection.
    raise ConnectionAbortedError("the answer broke off")
