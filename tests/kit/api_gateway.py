"""API Gateway's WebSocket side as documented: a real socket becomes events for Lambdas, what they post goes back to it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-overview.html: `$connect` decides
over the handshake, `$request.body.action` selects the route of a message, `$disconnect` tells of the end.
"""

import base64
import contextlib
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from kit.connections import Connections
from tollkeeper.serverless.running import Running
from tollkeeper.serverless.websocket import answer

STAGE = "/prod"
ROUTES = frozenset(("sendmessage",))
LARGEST = 128 * 1024
"""Bytes of a message that API Gateway takes."""


class Lambdas:
    """Environments of one function: each takes one event at a time, in a thread of its own; as many as are needed."""

    def __init__(self, start: Callable[[], Running]) -> None:
        self._start = start
        self._idle: queue.SimpleQueue[tuple[ThreadPoolExecutor, Running]] = queue.SimpleQueue()
        self._threads: list[ThreadPoolExecutor] = []

    def __call__(self, event: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
        """What one of them answers."""
        try:
            thread, gate = self._idle.get_nowait()
        except queue.Empty:
            thread = ThreadPoolExecutor(1)
            self._threads.append(thread)
            gate = thread.submit(self._start).result()
        try:
            return thread.submit(answer, gate, event, seconds).result()
        finally:
            self._idle.put((thread, gate))

    @property
    def count(self) -> int:
        return len(self._threads)

    def close(self) -> None:
        while not self._idle.empty():
            thread, gate = self._idle.get()
            thread.submit(gate.close).result()
            thread.shutdown()


class Bridge:
    """One WebSocket API. `url` is for clients; `known` is where the Lambdas post to."""

    def __init__(self, invoke: Lambdas, known: Connections) -> None:
        self.left: list[str] = []
        """Connections whose end was told."""
        self.answered = 0
        """Messages of which the Lambda has ended."""
        self._asked: set[threading.Thread] = set()
        self._counting = threading.Lock()
        self._invoke = invoke
        self._known = known
        self._about: dict[ServerConnection, tuple[str, dict[str, Any]]] = {}
        self._server = serve(
            self._converse,
            "127.0.0.1",
            0,
            process_request=self._connect,
            select_subprotocol=self._chosen,
            compression=None,
            ping_interval=None,
            max_size=LARGEST,
        )
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}{STAGE}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def _connect(self, connection: ServerConnection, request: Request) -> Response | None:
        asked = urlsplit(request.path)
        if asked.path != STAGE:
            return connection.respond(403, "Forbidden")  # type: ignore[arg-type]
        id = base64.b64encode(secrets.token_bytes(11)).decode()
        event = {
            **self._event(id, "CONNECT", "$connect"),
            "headers": dict(request.headers.raw_items()),
            "multiValueHeaders": {name: [value] for name, value in request.headers.raw_items()},
        }
        if asked.query:
            event["queryStringParameters"] = dict(parse_qsl(asked.query))
        response = self._invoke(event)
        if response["statusCode"] >= 300:
            return connection.respond(response["statusCode"], response.get("body", ""))
        self._about[connection] = (id, response)
        return None

    def _chosen(self, connection: ServerConnection, offered: Any) -> Any:
        _, response = self._about[connection]
        return response.get("headers", {}).get("Sec-WebSocket-Protocol")

    def _converse(self, connection: ServerConnection) -> None:
        id, _ = self._about.pop(connection)
        self._known.open[id] = lambda data: connection.send(data.decode())
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                if isinstance(message, bytes):
                    connection.close(1003, "binary")
                    break
                # A message does not wait for the answer to the one before it: each has a Lambda of its own.
                asking = threading.Thread(target=self._message, args=(id, message), daemon=True)
                self._asked.add(asking)
                asking.start()
        del self._known.open[id]
        self._invoke(self._event(id, "DISCONNECT", "$disconnect"))
        for each in list(self._asked):
            each.join(60)
        self.left.append(id)

    def _message(self, id: str, message: str) -> None:
        event = self._event(id, "MESSAGE", _route(message))
        response = self._invoke({**event, "body": message})
        take = self._known.open.get(id)
        if response["statusCode"] >= 500 and take is not None:
            refusal = {"message": "Internal server error", "connectionId": id, "requestId": "id"}
            with contextlib.suppress(ConnectionClosed):
                take(json.dumps(refusal).encode())
        self._asked.discard(threading.current_thread())
        with self._counting:
            self.answered += 1

    def _event(self, id: str, kind: str, route: str) -> dict[str, Any]:
        about = {
            "routeKey": route,
            "eventType": kind,
            "connectionId": id,
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "stage": STAGE.strip("/"),
            "apiId": "id",
            "requestId": secrets.token_hex(8),
            "requestTimeEpoch": int(time.time() * 1000),
            "identity": {"sourceIp": "127.0.0.1"},
        }
        return {"requestContext": about, "isBase64Encoded": False}


def _route(message: str) -> str:
    """What `$request.body.action` selects."""
    try:
        body = json.loads(message)
    except ValueError:
        return "$default"
    action = body.get("action") if isinstance(body, dict) else None
    return action if action in ROUTES else "$default"


@contextlib.contextmanager
def api_gateway(start: Callable[[], Running], known: Connections) -> Iterator[tuple[Bridge, Lambdas]]:
    """For the time of a `with`."""
    lambdas = Lambdas(start)
    bridge = Bridge(lambdas, known)
    try:
        yield bridge, lambdas
    finally:
        bridge.close()
        lambdas.close()
