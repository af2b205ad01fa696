"""The gate's ASGI app: a request becomes a call, a reply becomes an answer, an error becomes the caller's dialect.

Plain ASGI, so that it runs under any ASGI server. Two extensions of our own door make it cheaper there: see protocol.py.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from tollkeeper.core.call import Call, Presence, Reply, Upload
from tollkeeper.core.errors import CallerError, ClientLeft, GateError, TollkeeperError, invalid_key
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.ports import Handler, Keys
from tollkeeper.dialects import openai_errors, openai_request
from tollkeeper.dialects.openai_paths import Endpoint, endpoint
from tollkeeper.server import bodies
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.pouring import pour_over_asgi
from tollkeeper.server.protocol import ABORT, LEAVING, SINK
from tollkeeper.wire import json_text

Send = Callable[[Message], Awaitable[None]]
Health = Callable[[], str | None]
"""None when the gate can take calls, else why not."""
ListModels = Callable[[Key], Awaitable[list[dict[str, object]]]]

_JSON = [(b"content-type", b"application/json")]
_ALLOWED = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_NOT_JSON = ("multipart/", "image/", "audio/", "video/", "application/octet-stream")
_RESERVED = frozenset(("", "favicon.ico", "robots.txt", ".well-known"))


class Gate:
    """What programs call."""

    def __init__(
        self,
        handle: Handler,
        keys: Keys,
        *,
        limits: DoorLimits,
        list_models: ListModels,
        health: Health,
        new_id: Callable[[], str],
        monotonic: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.limits = limits
        self._handle = handle
        self._keys = keys
        self._list_models = list_models
        self._health = health
        self._new_id = new_id
        self._monotonic = monotonic
        self._on_error = on_error

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI 3, HTTP only."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        accepted_at = self._monotonic()
        request_id = self._new_id()
        presence = Presence()
        try:
            reply = await self._answer(scope, receive, request_id, accepted_at, presence)
        except ClientLeft as error:
            _abort(scope)
            _let_go(error)
            return
        except TollkeeperError as error:
            reply = _error(error)
            _let_go(error)
        except Exception as error:
            self._on_error(request_id, error)
            reply = _error(TollkeeperError(f"The gate failed. Request id: {request_id}.", code="internal_error"))
        headers = reply.headers
        headers.append((b"x-request-id", request_id.encode()))
        if reply.pour is None:
            headers.append((b"content-length", b"%d" % len(reply.body)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
            return
        headers += ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        extensions = scope.get("extensions") or {}
        try:
            if SINK in extensions:
                await reply.pour(extensions[SINK]())
            else:
                await pour_over_asgi(reply.pour, receive, send, presence)
        except TollkeeperError as error:
            _abort(scope)
            _let_go(error)
        else:
            await send({"type": "http.response.body", "body": b""})

    async def _answer(
        self, scope: Message, receive: Receive, request_id: str, accepted_at: float, presence: Presence
    ) -> Reply:
        method: str = scope["method"]
        path = _path_of(scope.get("raw_path") or scope["path"].encode())
        if path in ("healthz", "readyz"):
            return self._probe(path)
        if path.partition("/")[0] in _RESERVED:
            raise CallerError(f"There is nothing at /{path[:64]}.", status=404, code="not_found")
        if method not in _ALLOWED:
            raise _method_not_allowed(_ALLOWED)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        named = dict(headers)
        key = self._authenticate(named)
        if path == "models" or path.startswith("models/"):
            if method != "GET":
                raise _method_not_allowed(frozenset(("GET",)))
            return await self._models(key, path)
        found = endpoint(path, method)
        if method not in found.methods:
            raise _method_not_allowed(found.methods)
        extensions = scope.get("extensions")
        if extensions is not None and LEAVING in extensions:
            extensions[LEAVING](presence.leave)
        call = Call(
            request_id=request_id,
            key=key,
            dialect=found.dialect,
            method=method,
            path=found.path,
            query=scope["query_string"],
            headers=headers,
            named=named,
            body=b"",
            model=None,
            streamed=False,
            accepted_at=accepted_at,
            presence=presence,
            metered=found.metered,
        )
        asked = named.get(b"x-tollkeeper-provider")
        if asked is not None:
            call.provider = asked.decode("ascii", "replace")
        dry = named.get(b"x-tollkeeper-dry-run")
        if dry is not None:
            call.dry = _flag(dry)
        session = named.get(b"x-tollkeeper-session")
        if session is not None:
            call.session = session.decode("latin-1")
        allowed = named.get(b"x-tollkeeper-timeout")
        if allowed is not None:
            call.timeout = _seconds(allowed)
        await self._read_body(call, found, named, receive)
        return await self._handle(call)

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> Key:
        secret = headers.get(b"authorization")
        if secret is not None:
            scheme, _, secret = secret.partition(b" ")
            if scheme.lower() != b"bearer":
                raise invalid_key()
            secret = secret.strip()
        else:
            secret = headers.get(b"api-key") or headers.get(b"x-api-key") or b""
        key = self._keys.find(secret)
        if key is None:
            raise invalid_key()
        return key

    async def _read_body(self, call: Call, found: Endpoint, headers: Mapping[bytes, bytes], receive: Receive) -> None:
        kind = headers.get(b"content-type", b"").decode("latin-1").lower()
        if len(headers) != len(call.headers):
            _refuse_twins(call.headers)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise CallerError(
                "Compressed request bodies are not accepted.", status=415, code="unsupported_content_encoding"
            )
        is_form = kind.startswith("multipart/")
        length = headers.get(b"content-length")
        if found.takes == "form" or (found.takes == "either" and is_form):
            if not is_form:
                raise _unsupported(call.path, "multipart/form-data")
            size = bodies.declared(length, self.limits.body)
            content_type = headers[b"content-type"].decode("latin-1")
            upload, model = await bodies.form(receive, self.limits.body, content_type, size)
            call.body, call.model = upload, found.model or model
        elif found.takes != "any":
            if kind.startswith(_NOT_JSON):
                raise _unsupported(call.path, "application/json")
            bodies.declared(length, self.limits.json_body)
            self._read_json(call, await bodies.whole(receive, self.limits.json_body), found.model)
        elif "json" in kind:
            bodies.declared(length, self.limits.json_body)
            body = await bodies.whole(receive, self.limits.json_body)
            if body:
                self._read_json(call, body, found.model)
        else:
            size = bodies.declared(length, self.limits.body)
            if size == 0 or (length is None and b"transfer-encoding" not in headers):
                call.body = await bodies.whole(receive, 0)
            else:
                call.body = Upload(bodies.streamed(receive, self.limits.body), size)
        if call.dialect.needs_model and not call.model:
            raise CallerError("You must provide a model parameter.", code="missing_required_parameter", param="model")

    @staticmethod
    def _read_json(call: Call, body: bytes, model: str | None) -> None:
        try:
            members = json_text.members(body)
        except json_text.BadJson as error:
            raise CallerError(
                f"We could not parse the JSON body of your request: {error}.", code="invalid_json"
            ) from None
        call.body = body
        call.members = members
        call.model = model or openai_request.string(members, "model")
        if call.model is not None and not call.model.isprintable():
            raise CallerError("The model's name has a control character in it.", code="invalid_value", param="model")
        call.streamed = openai_request.flag(members, "stream") if "stream" in members else False

    async def _models(self, key: Key, path: str) -> Reply:
        listed = await self._list_models(key)
        if path == "models":
            body = msgspec.json.encode({"object": "list", "data": listed})
            return Reply(200, list(_JSON), body)
        wanted = unquote(path.partition("/")[2])
        for model in listed:
            if model["id"] == wanted:
                return Reply(200, list(_JSON), msgspec.json.encode(model))
        raise CallerError(
            f"The model '{wanted[:128]}' does not exist", status=404, code="model_not_found", param="model"
        )

    def _probe(self, path: str) -> Reply:
        trouble = self._health() if path == "readyz" else None
        status = {"status": "ok"} if trouble is None else {"status": "unavailable", "reason": trouble}
        return Reply(200 if trouble is None else 503, list(_JSON), msgspec.json.encode(status))


@lru_cache(1024)
def _path_of(raw: bytes) -> str:
    """The path below the version, still percent-encoded. Raises CallerError where it could climb out of its root."""
    path = raw.decode("ascii", "replace").lstrip("/")
    plain = unquote(path)
    *folders, last = plain.split("/")
    climbs = any(part in ("", ".", "..") for part in folders) or last in (".", "..")
    if climbs or "\\" in plain or not plain.isprintable():
        raise CallerError("The path is not one that this gate has.", status=404, code="not_found")
    if path.startswith("openai/"):
        path = path[7:]
    if path.startswith("v1/"):
        path = path[3:]
    return path.rstrip("/")


def _flag(given: bytes) -> bool:
    """A dry run that was misspelt would be a real one: so it is refused."""
    if given in (b"1", b"0"):
        return given == b"1"
    raise CallerError("x-tollkeeper-dry-run is 1, 0, or not there.", code="invalid_value", param="x-tollkeeper-dry-run")


def _refuse_twins(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuses what says twice how its body is to be read: we would go by one, the provider perhaps by the other."""
    names = [name for name, _ in headers]
    for name in (b"content-type", b"content-encoding"):
        if names.count(name) > 1:
            raise CallerError(f"There are several {name.decode()} headers.", code="invalid_http")


def _seconds(given: bytes) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise CallerError(
            "Invalid x-tollkeeper-timeout: expected seconds, more than 0.",
            code="invalid_value",
            param="x-tollkeeper-timeout",
        )
    return seconds


def _method_not_allowed(allowed: frozenset[str]) -> CallerError:
    return CallerError(
        "Not allowed to use this method here.",
        status=405,
        code="method_not_allowed",
        headers=((b"allow", ", ".join(sorted(allowed)).encode()),),
    )


def _unsupported(path: str, wanted: str) -> CallerError:
    return CallerError(f"/v1/{path} takes {wanted}.", status=415, code="unsupported_media_type")


def _error(error: TollkeeperError) -> Reply:
    headers = [*_JSON, *error.headers]
    if isinstance(error, GateError) and not any(name == b"retry-after" for name, _ in error.headers):
        headers.append((b"retry-after", b"1"))
    return Reply(error.status, headers, openai_errors.body(error))


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
