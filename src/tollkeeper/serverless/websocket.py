"""API Gateway's WebSocket events: a client is let in, its messages are answered piece by piece, and it leaves.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
"""

import asyncio
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from tollkeeper.core.errors import CallerError, GateError, TollkeeperError, invalid_key
from tollkeeper.core.keys import Key
from tollkeeper.dialects import openai_errors
from tollkeeper.server.bodies import Message
from tollkeeper.server.conversing import topics_of
from tollkeeper.server.sockets import FORMATS, KEY
from tollkeeper.serverless.posting import Posting
from tollkeeper.serverless.running import Running, running, seconds_left
from tollkeeper.sockets import messages
from tollkeeper.sockets.lobby import CANCEL, Lobby
from tollkeeper.sockets.memory import Memory
from tollkeeper.sockets.options import Format
from tollkeeper.sockets.session import Session
from tollkeeper.stores.dynamodb.table import Item

Event = dict[str, Any]

_CONNECTIONS, _CANCELLED, _SAID = "connection", "cancel", "said"
_LOOK = 0.5
"""Seconds between two looks at whether an answer was cancelled: each is a read of the table."""
_LONGEST = 2 * 3600 + 300
"""Seconds: API Gateway closes a connection after two hours. What is left of one after that, the table forgets by itself."""


def handler(event: Event, context: Any = None) -> Event:
    """One event."""
    return answer(running(), event, seconds_left(context))


def answer(gate: Running, event: Event, seconds: float) -> Event:
    """What API Gateway is told: for `$connect` whether the client may come in, else only that it was taken."""
    asked = event["requestContext"]
    try:
        match asked["eventType"]:
            case "CONNECT":
                return gate.run(lambda: _connect(gate, event), seconds)
            case "DISCONNECT":
                gate.run(lambda: _disconnect(gate, asked["connectionId"]), seconds)
            case _:
                gate.run(lambda: _message(gate, event), seconds)
    except TimeoutError:
        return _refused(GateError("The answer took longer than Lambda allows.", status=504, code="deadline_exceeded"))
    except TollkeeperError as error:
        return _refused(error)
    return {"statusCode": 200}


async def _connect(gate: Running, event: Event) -> Event:
    """The gate's own door says who may open a socket: here it is opened and left at once."""
    asked = event["requestContext"]
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    query = event.get("queryStringParameters") or {}
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    scope: Message = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "wss",
        "path": gate.app.loaded.config.websocket.path,
        "query_string": urlencode(query).encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "subprotocols": offered,
        "extensions": {"websocket.http.response": {}},
    }
    said: list[Message] = []
    received = iter(({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}))

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        said.append(message)

    await gate.door(scope, receive, send)
    first = said[0]
    if first["type"] == "websocket.http.response.start":
        body = b"".join(message.get("body", b"") for message in said[1:])
        return {"statusCode": first["status"], "body": body.decode()}
    if first["type"] != "websocket.accept":
        return _refused(invalid_key())
    key: Key = scope[KEY]
    chosen: str | None = first.get("subprotocol")
    configured = gate.app.loaded.config.websocket.format
    format = FORMATS[chosen] if chosen is not None else query.get("format") or configured
    item = {"pk": _CONNECTIONS, "sk": asked["connectionId"], "key": key.id, "shown": key.digest.hex(), "format": format}
    await gate.table.put({**item, "ttl": int(time.time()) + _LONGEST})
    return {"statusCode": 200, **({"headers": {"Sec-WebSocket-Protocol": chosen}} if chosen else {})}


async def _disconnect(gate: Running, connection: str) -> None:
    for kind in (_CONNECTIONS, _CANCELLED, _SAID):
        await gate.table.delete(kind, connection)


async def _message(gate: Running, event: Event) -> None:
    """Answers it, until it is answered or the client is gone. Raises GateError."""
    asked = event["requestContext"]
    known = await gate.table.get(_CONNECTIONS, asked["connectionId"])
    key = None if known is None else gate.app.keys.of(str(known["key"]))
    # Where the key was rotated since, or is gone, `current` says so, and the session tells the client.
    if known is None or key is None or key.digest.hex() != known["shown"]:
        raise invalid_key()
    body: str | bytes = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = b""  # binary: the session says that it takes none
    at = int(asked.get("requestTimeEpoch") or time.time() * 1000)
    if await _cancels(gate, asked["connectionId"], body, at):
        return
    format: Format = "json" if known["format"] == "json" else "text"
    memory, before = await _remembered(gate, asked["connectionId"])
    left: list[Callable[[], None]] = []
    url = gate.environment.get("TOLLKEEPER_CONNECTIONS_URL") or f"https://{asked['domainName']}/{asked['stage']}"
    posting = Posting(
        gate.app.client,
        gate.place,
        url,
        asked["connectionId"],
        format == "json",
        lambda: left[0](),
    )
    session = Session(_lobby(gate), key, format, posting, _never, memory)
    left.append(session.leave)
    session.take(body)
    watching = asyncio.ensure_future(_watch(gate, asked["connectionId"], session, at))
    try:
        await session.ended()
    finally:
        watching.cancel()
        await session.ended()  # what a time-out has cancelled tells its client, and settles
        await posting.end()
        if memory is not None and memory.kept() != before:
            item: Item = {"pk": _SAID, "sk": asked["connectionId"], "d": memory.kept()}
            await gate.table.put({**item, "ttl": int(time.time()) + _LONGEST})


async def _remembered(gate: Running, connection: str) -> tuple[Memory | None, str]:
    """What was said on this socket, and how that was kept; None where nothing is to be."""
    options = gate.app.loaded.config.websocket
    if not options.memory:
        return None, ""
    memory = Memory(options.memory, options.memory_bytes)
    kept = await gate.table.get(_SAID, connection)
    if kept is not None:
        memory.restore(str(kept["d"]))
    return memory, memory.kept()


async def _cancels(gate: Running, connection: str, body: str | bytes, at: int) -> bool:
    """Whether the message asks for an end of answers, which another Lambda gives: it is told by way of the table."""
    if isinstance(body, bytes):
        return False
    try:
        asked = messages.read(body)
    except CallerError:
        return False
    if asked.action != CANCEL or CANCEL in _lobby(gate).topics:
        return False
    item: Item = {"pk": _CANCELLED, "sk": connection, "at": at, **({} if asked.id is None else {"id": asked.id})}
    await gate.table.put({**item, "ttl": int(time.time()) + _LONGEST})
    return True


async def _watch(gate: Running, connection: str, session: Session, since: int) -> None:
    """Ends what its client has cancelled since then."""
    seen = since - 1
    while True:
        await asyncio.sleep(_LOOK)
        try:
            found = await gate.table.get(_CANCELLED, connection)
        except GateError:
            continue
        if found is not None and int(found["at"]) > seen:
            seen = int(found["at"])
            session.cancel(str(found["id"]) if "id" in found else None)


@cache
def _lobby(gate: Running) -> Lobby:
    """Caps count what this Lambda sees: it has one client at a time."""

    def failed(request_id: str, error: BaseException) -> None:
        gate.app.log.say("internal_error", request_id=request_id, error=type(error).__name__)

    return Lobby(
        gate.app.loaded.config.websocket,
        topics_of(gate.app),
        current=gate.app.keys.current,
        new_id=gate.app.new_id,
        monotonic=time.monotonic,
        on_error=failed,
    )


def _never(code: int, reason: str) -> None:
    """A session closes when the gate is stopped: a Lambda is not told of that."""


def _refused(error: TollkeeperError) -> Event:
    return {"statusCode": error.status, "body": openai_errors.body(error).decode()}
