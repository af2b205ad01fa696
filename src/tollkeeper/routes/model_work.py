"""How a plugin hands a request over to the models' own engine: to targets of its own, metered like every other call."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from tollkeeper.core.account import Balancing, Fallback, Target
from tollkeeper.core.call import Call, Destination, Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Handler
from tollkeeper.dialects.endpoint import Endpoint
from tollkeeper.dialects.paths import endpoint
from tollkeeper.dialects.translators import TRANSLATORS
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.google_tokens import GoogleTokens
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.model_instances import patience, target
from tollkeeper.routes.plugin import Surroundings
from tollkeeper.routes.poured import Poured
from tollkeeper.routes.traffic import Traffic
from tollkeeper.wire import json_text

MOST_BODY: Schema = {"type": "integer", "minimum": 1, "default": 64 * 1024 * 1024}
ON_END = "model_work.on_end"
"""Where an exchange's notes have those who are told when the call is over."""
NOTES = "model_work.notes"
"""Where they have what led to its `Choice`: notes as `core.notes` has them, for the call."""
_PASSED_ON = frozenset(
    (b"accept", b"content-type", b"user-agent", b"openai-beta", b"anthropic-version", b"anthropic-beta")
)
"""Of the client's headers: what others say is between it and this gate, its key above all."""
DRY = b"x-tollkeeper-dry-run"
"""The header that asks what would happen; nothing is sent then."""
_LONGEST_PATH = 3
"""Segments that a path of a known endpoint has."""
_MOST_ORDERS = 64


def asked(path: str, body: Mapping[str, Any]) -> Endpoint:
    """Which endpoint a request means: what its path ends in, else what its body looks like."""
    parts = path.strip("/").split("/")
    for length in range(min(_LONGEST_PATH, len(parts)), 0, -1):
        found = endpoint("/".join(parts[-length:]), "POST")
        dialect = found.dialect
        # A Response may do without a model where a stored prompt has one; here the plugin's options may name it.
        if found.takes == "json" and found.metered and (dialect.needs_model or dialect.name in TRANSLATORS):
            return found
    embedding = "input" in body and "messages" not in body
    return endpoint("embeddings" if embedding else "chat/completions", "POST")


def refused(status: int, message: str) -> Response:
    """In the words of APISIX's plugins."""
    return Response.json(status, {"message": message})


class Choice:
    """Which of the instances a request may go to, the best first; in its exchange's notes under this class."""

    __slots__ = ("_decide", "_prefix", "names", "past_limits")

    def __init__(
        self,
        names: Sequence[str],
        *,
        past_limits: bool = False,
        prefix: str = "",
        decide: Callable[[], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        self.names = list(names)
        self.past_limits = past_limits
        """Whether an instance whose limit of tokens is used up is left out, instead of the request being refused."""
        self._prefix = prefix
        self._decide = decide

    async def made(self) -> None:
        """Awaited by whoever goes by `names`: where it costs something to find them, that is done now, and once."""
        decide, self._decide = self._decide, None
        if decide is not None:
            self.names = list(await decide())

    def called(self, name: str) -> str:
        """What limits and their headers call an instance: ai-proxy's has none of its own and is ai-proxy-PROVIDER."""
        return self._prefix + name


class Handed:
    """What became of an exchange: in its notes under this class, once it was handed to the engine."""

    __slots__ = ("asked", "call", "model")

    def __init__(self, call: Call, asked: str, model: str) -> None:
        self.call = call
        self.asked = asked
        """The model that the client named; empty where it named none."""
        self.model = model

    @property
    def kind(self) -> str:
        """As APISIX's metrics call it."""
        return "ai_stream" if self.call.streamed else "ai_chat"


class _Asked(NamedTuple):
    """A request as it was understood."""

    endpoint: Endpoint
    wanted: str
    """The model that the client names; empty where it names none."""
    model: str
    body: bytes
    members: Mapping[str, Raw]


class Work:
    """What a plugin does with a request: handed to the engine, the answer made a response.

    `instances` are one provider's settings each, by name; what is known of their targets' health lives as long.
    """

    def __init__(
        self,
        gate: Surroundings,
        conf: Mapping[str, Any],
        instances: Mapping[str, Mapping[str, Any]],
        fallback: Fallback | None = None,
    ) -> None:
        self._gate = gate
        self._instances = instances
        self._most: int = conf["max_req_body_size"]
        self._patience = patience(conf)
        self._identity = sha256(repr(sorted(instances.items())).encode()).digest()
        self._balancing = Balancing(fallback=fallback)
        self._tokens = {
            name: GoogleTokens(each["auth"]["gcp"], gate.outbound, gate.now)
            for name, each in instances.items()
            if "gcp" in each["auth"]
        }
        self._targets: dict[tuple[str, str | None], Target] = {}
        self._destinations: dict[tuple[tuple[str, str | None], ...], Destination] = {}
        first = next(iter(instances.values())).get("options", {})
        self._streamed: bool | None = first.get("stream")

    async def serve(self, exchange: Exchange) -> Response:
        """Answers an exchange in place of an upstream, by the instances of its `Choice`."""
        handle = self._gate.handle
        if handle is None:
            return refused(503, "this gate answers no model calls")
        body = await exchange.request.read(self._most)
        try:
            members = json_text.members(body)
        except json_text.BadJson as error:
            return refused(400, f"could not parse JSON request body: {error}")
        found = asked(exchange.request.path, members)
        if self._streamed is not None and found.streams in ("if asked", "unless told"):
            body = json_text.replaced(body, dict(members), {"stream": b"true" if self._streamed else b"false"})
            members = json_text.members(body)
        choice: Choice = exchange.notes[Choice]
        await choice.made()
        names = choice.names
        wanted = found.model or _text(members.get("model"))
        model = wanted or self._instances[names[0]].get("options", {}).get("model")
        if not isinstance(model, str) or not model.isprintable():
            return refused(400, "the request names no model, and the plugin's options have none")
        handed = _Asked(found, wanted, model, body, members)
        try:
            destination = await self._destination(names)
            return await self._handed_over(exchange, handle, destination, handed)
        except ClientLeft:
            raise
        except TollkeeperError as error:
            kind = (b"content-type", b"application/json")
            return Response(error.status, found.dialect.render_error(error), Headers([kind, *error.headers]))

    async def _handed_over(
        self, exchange: Exchange, handle: Handler, destination: Destination, given: "_Asked"
    ) -> Response:
        headers = [header for header in exchange.request.headers.items if header[0] in _PASSED_ON]
        dry = exchange.request.headers.get(DRY) or b"0"
        if dry not in (b"1", b"0"):
            return refused(400, "x-tollkeeper-dry-run is 1, 0, or not there")
        if dry == b"1" and exchange.consumer is None:  # it tells where calls go, which is not for everybody
            return refused(400, "a dry run is for callers that are known, and this route asks nobody who calls")
        found, members = given.endpoint, given.members
        call = Call(
            request_id=exchange.request_id,
            key=payer(exchange),
            dialect=found.dialect,
            method="POST",
            path=found.path,
            query=b"alt=sse" if found.streams == "always" else b"",
            headers=headers,
            named=dict(headers),
            body=given.body,
            model=given.model,
            streamed=_streamed(found, members),
            accepted_at=exchange.started,
            presence=exchange.presence,
            members=members,
            metered=found.metered,
            destination=destination,
            dry=dry == b"1",
        )
        used = self._instances[exchange.notes[Choice].names[0]].get("options", {}).get("model", given.model)
        handed = exchange.notes[Handed] = Handed(call, given.wanted, used)
        call.notes += exchange.notes.get(NOTES, ())
        for callback in exchange.notes.get(ON_END, ()):
            call.on_end(callback)
        traffic: Traffic = self._gate.shared[Traffic]
        place = _labels(exchange, handed)
        traffic.begun(place)
        call.on_end(lambda _: traffic.ended(place))
        return _response(await handle(call))

    async def _destination(self, names: Sequence[str]) -> Destination:
        """Made once for each order. Raises UpstreamError where none of them can be asked for want of a token."""
        targets: list[tuple[str, str | None]] = []
        trouble: TollkeeperError | None = None
        for name in names:
            try:
                token = await self._tokens[name].current() if name in self._tokens else None
            except TollkeeperError as error:
                trouble = error
                continue
            targets.append((name, token))
        if trouble is not None and not targets:
            raise trouble
        key = tuple(targets)
        found = self._destinations.get(key)
        if found is None:
            if len(self._destinations) >= _MOST_ORDERS:
                self._destinations.clear()
            found = self._destinations[key] = Destination(
                [self._target(*each) for each in key], self._balancing, self._identity
            )
        return found

    def _target(self, name: str, token: str | None) -> Target:
        found = self._targets.get((name, token))
        if found is None:
            for known in [each for each in self._targets if each[0] == name]:
                del self._targets[known]
            found = self._targets[name, token] = target(name, self._instances[name], self._patience, token)
        return found


def _labels(exchange: Exchange, handed: Handed) -> tuple[str, ...]:
    """Those of `Traffic` for what models do, as far as they are known before an answer."""
    route, consumer = exchange.route, "" if exchange.consumer is None else exchange.consumer.name
    place = ("", "") if route is None else (route.id, route.service_id or "")
    return (*place, consumer, exchange.notes[Choice].names[0], handed.kind, handed.asked, handed.model)


def _text(member: Raw | None) -> str:
    """A member that is a text; empty where it is none."""
    found = None if member is None else msgspec.json.decode(member)
    return found if isinstance(found, str) else ""


def _streamed(found: Endpoint, members: Mapping[str, Any]) -> bool:
    if found.streams in ("always", "never"):
        return found.streams == "always"
    given = members.get("stream")
    return bytes(given) == b"true" if given is not None else found.streams == "unless told"


def payer(exchange: Exchange) -> Key:
    """Whom a call is charged to: the key of the gate's, the consumer, or the route where nobody has to say who it is."""
    consumer = exchange.consumer
    if consumer is not None and exchange.key is not None:
        # Its budgets and limits hold here too. Which models it may ask for by name does not matter: the route says which.
        return msgspec.structs.replace(exchange.key, models=None, owner=exchange.key.owner or consumer.name)
    if consumer is not None:
        return Key(
            id=f"consumer:{consumer.name}", name=consumer.name, shown="", digest=b"", created_at=0, owner=consumer.name
        )
    return payer_of_none(exchange)


def payer_of_none(exchange: Exchange) -> Key:
    """Whom calls are charged to that nobody asked for."""
    name = "" if exchange.route is None else exchange.route.id
    return Key(id=f"route:{name}", name=f"route {name}", shown="", digest=b"", created_at=0)


def _response(reply: Reply) -> Response:
    headers = Headers(list(reply.headers))
    if reply.pour is None:
        return Response(reply.status, reply.body, headers)
    return Response(reply.status, Poured(reply.pour), headers)
