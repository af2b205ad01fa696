"""How a plugin hands a request over to the models' own engine: to targets of its own, metered like every other call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tollkeeper.core.account import Account, Balancing, Patience, Target
from tollkeeper.core.call import Call, Destination, Reply
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Handler
from tollkeeper.core.provider import Provider
from tollkeeper.dialects.openai_paths import Endpoint, endpoint
from tollkeeper.providers import PROVIDERS
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.json_schema import Schema
from tollkeeper.wire import json_text

_NAMED = {"azure-openai": "azure", "openai-compatible": "openai"}
PROVIDER: Schema = {
    "type": "string",
    "enum": sorted({*(name for name in PROVIDERS if name not in ("demo", "azure")), *_NAMED}),
}
AUTH: Schema = {
    "type": "object",
    "properties": {"header": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}},
    "required": ["header"],
    "additionalProperties": False,
}
OPTIONS: Schema = {"type": "object", "properties": {"model": {"type": "string", "minLength": 1}}}
OVERRIDE: Schema = {
    "type": "object",
    "properties": {
        "endpoint": {"type": "string", "pattern": r"^https?://"},
        "llm_options": {"type": "object", "properties": {"max_tokens": {"type": "integer", "minimum": 1}}},
        "request_body": {"type": "object"},
        "request_body_force_override": {"type": "boolean", "default": False},
    },
}
TIMEOUT: Schema = {"type": "integer", "minimum": 1, "maximum": 600000, "default": 30000}
MOST_BODY: Schema = {"type": "integer", "minimum": 1, "default": 64 * 1024 * 1024}
_SUFFIXES = ("/chat/completions", "/responses", "/embeddings", "/completions")
ON_END = "model_work.on_end"
"""Where an exchange's notes have those who are told when the call is over."""
_PASSED_ON = frozenset((b"accept", b"content-type", b"user-agent", b"openai-beta"))
"""Of the client's headers: what others say is between it and this gate, its key above all."""
GUARDED = "node+"
"""Before the scheme of a URL that a plugin names: its address must be one that nodes may have."""


def check(instance: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong with one provider's settings that no schema can say."""
    for name, value in instance["auth"]["header"].items():
        if name.lower() == "authorization":
            if not value.lower().startswith(("bearer ", "$")):
                raise ValueError("auth.header.Authorization must be a bearer token")
        elif name.lower() not in ("api-key", "x-api-key"):
            raise ValueError(f"auth.header.{name} is not taken: Authorization or api-key")
    where = instance.get("override", {}).get("endpoint")
    if where is None and instance["provider"] in _NAMED:
        raise ValueError(f"override.endpoint is required for {instance['provider']} provider")
    if where is not None and not urlsplit(where).hostname:
        raise ValueError(f"override.endpoint has no host: {where}")


def target(name: str, instance: Mapping[str, Any], milliseconds: int) -> Target:
    """Where a call goes for one provider's settings, checked before."""
    provider = PROVIDERS[_NAMED.get(instance["provider"], instance["provider"])]
    secret, auth = None, "none"
    for header, value in instance["auth"]["header"].items():
        auth = "bearer" if header.lower() == "authorization" else "api-key"
        secret = value.partition(" ")[2].strip() if auth == "bearer" else value
    changes: dict[str, Any] = {"auth": auth, "models": (), "name": instance["provider"]}
    where = instance.get("override", {}).get("endpoint")
    if where is not None:
        changes["base_url"] = GUARDED + _base(where)
    seconds = milliseconds / 1000
    return Target(
        Account(
            name=name,
            provider=_changed(provider, changes),
            secret=secret,
            timeouts=Patience(connect=min(seconds, 10.0), first_byte=seconds, idle=seconds),
        ),
        instance.get("options", {}).get("model"),
        weight=float(instance.get("weight", 1)),
    )


def _changed(provider: Provider, changes: Mapping[str, Any]) -> Provider:
    return msgspec.structs.replace(provider, **changes)


def _base(where: str) -> str:
    """What comes before the endpoint's own path; with /v1 where only a host is given."""
    parts = urlsplit(where)
    path = parts.path.rstrip("/")
    for suffix in _SUFFIXES:
        path = path.removesuffix(suffix)
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def asked(exchange: Exchange) -> Endpoint:
    """Which endpoint a request means: what its path ends in, chat where that is none."""
    path = exchange.request.path.rstrip("/")
    return endpoint(next((each[1:] for each in _SUFFIXES if path.endswith(each)), "chat/completions"), "POST")


def refused(status: int, message: str) -> Response:
    """In the words of APISIX's plugins."""
    return Response.json(status, {"message": message})


class Work:
    """What a plugin does with a request: its options put in, handed to the engine, the answer made a response."""

    def __init__(self, destination: Destination, instances: Sequence[Mapping[str, Any]], most: int) -> None:
        self._destination = destination
        self._options: dict[str, Any] = dict(instances[0].get("options", {}))
        self._override: Mapping[str, Any] = instances[0].get("override", {})
        self._most = most

    def served_by(self, handle: Handler | None) -> Callable[[Exchange], Awaitable[Response]]:
        """What answers an exchange in place of an upstream."""

        async def serve(exchange: Exchange) -> Response:
            if handle is None:
                return refused(503, "this gate answers no model calls")
            return await self._answered(exchange, handle)

        return serve

    async def _answered(self, exchange: Exchange, handle: Handler) -> Response:
        body = await exchange.request.read(self._most)
        try:
            given = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            return refused(400, f"could not parse JSON request body: {error}")
        if not isinstance(given, dict):
            return refused(400, "the JSON request body must be an object")
        self._change(given)
        found = asked(exchange)
        model = given.get("model")
        if not isinstance(model, str) or not model.isprintable():
            return refused(400, "the request names no model, and the plugin's options have none")
        body = msgspec.json.encode(given)
        headers = [header for header in exchange.request.headers.items if header[0] in _PASSED_ON]
        call = Call(
            request_id=exchange.request_id,
            key=_key(exchange),
            dialect=found.dialect,
            method="POST",
            path=found.path,
            query=b"",
            headers=headers,
            named=dict(headers),
            body=body,
            model=model,
            streamed=given.get("stream") is True,
            accepted_at=exchange.started,
            presence=exchange.presence,
            members=json_text.members(body),
            metered=found.metered,
            destination=self._destination,
        )
        for callback in exchange.notes.get(ON_END, ()):
            call.on_end(callback)
        return _response(await handle(call))

    def _change(self, given: dict[str, Any]) -> None:
        """Options win over what the client asks; the override's members too where they are forced, else they fill in."""
        given.update(self._options)
        forced = self._override.get("request_body_force_override", False)
        for name, value in self._override.get("request_body", {}).items():
            if forced or name not in given:
                given[name] = value
        most = self._override.get("llm_options", {}).get("max_tokens")
        if most is not None:
            given["max_completion_tokens" if "max_completion_tokens" in given else "max_tokens"] = most


def _key(exchange: Exchange) -> Key:
    """Whom the call is charged to: the consumer, or the route where nobody has to say who it is."""
    consumer, route = exchange.consumer, exchange.route
    if consumer is not None:
        return Key(
            id=f"consumer:{consumer.name}", name=consumer.name, shown="", digest=b"", created_at=0, owner=consumer.name
        )
    name = "" if route is None else route.id
    return Key(id=f"route:{name}", name=f"route {name}", shown="", digest=b"", created_at=0)


def destination(targets: Sequence[Target], balancing: Balancing) -> Destination:
    """Made once for each configuration: what is known of its targets' health goes with it."""
    return Destination(tuple(targets), balancing)


def _response(reply: Reply) -> Response:
    headers = Headers(list(reply.headers))
    if reply.pour is None:
        return Response(reply.status, reply.body, headers)
    return Response(reply.status, _Poured(reply.pour), headers)


class _Poured:
    """Pieces that are poured, taken one by one. Implements `Stream` and `core.call.Sink`."""

    def __init__(self, pour: Callable[[Any], Awaitable[None]]) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._size = 0
        self._task = asyncio.ensure_future(pour(self))
        self._task.add_done_callback(lambda _: self._wake())

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        self._wake()

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._size < 64 * 1024:
            return None
        self._room = asyncio.get_running_loop().create_future()
        return self._room

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        """Raises what broke the pouring off."""
        while not self._pieces:
            if self._task.done():
                error = None if self._task.cancelled() else self._task.exception()
                if self._task.cancelled():
                    raise UpstreamError("The answer broke off.", code="upstream_cut")
                if error is not None:
                    raise error
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(timeout):
                await self._waiting
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return data

    def close(self) -> None:
        self._task.cancel()
