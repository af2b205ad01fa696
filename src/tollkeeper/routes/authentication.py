"""What the plugins that authenticate have in common: who it is goes upstream, who it is not is told so."""

from collections.abc import Callable
from urllib.parse import parse_qsl

from tollkeeper.routes.consumers import Consumer
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.headers import written
from tollkeeper.routes.plugin import Plugin

TOLD = (b"x-consumer-username", b"x-credential-identifier", b"x-consumer-custom-id")
"""The headers that tell an upstream who it is: name, credential, and the consumer's label custom_id."""


def as_consumer(exchange: Exchange, consumer: Consumer) -> None:
    """From here on the exchange is this consumer's; the upstream is told, whatever the client said of itself."""
    exchange.consumer = consumer
    headers = exchange.request.headers
    headers.remove(*TOLD)
    headers.add(TOLD[0], written(consumer.name))
    if consumer.credential_id is not None:
        headers.add(TOLD[1], written(consumer.credential_id))
    if consumer.custom_id is not None:
        headers.add(TOLD[2], written(consumer.custom_id))


def withhold(exchange: Exchange) -> None:
    """Takes the gate's own key out of what an upstream will get."""
    key, request = exchange.gate_key, exchange.request
    if key is None:
        return
    exchange.gate_key = None
    request.headers.items = [header for header in request.headers.items if key not in header[1]]
    request.query = less_key(request.query, key)


def less_key(query: str, key: bytes | None) -> str:
    """A query without the arguments that a key of the gate's is in, however it is written."""
    word = "" if key is None else key.decode("latin-1")
    if not word or (word not in query and "%" not in query):
        return query
    return less(query, lambda name, value: word in value)


def less(query: str, unwanted: Callable[[str, str], bool]) -> str:
    """A query without the arguments (name, value) that are unwanted; the others are as they were sent."""
    return "&".join(
        part
        for part in query.split("&")
        if not any(unwanted(*pair) for pair in parse_qsl(part, keep_blank_values=True))
    )


def challenge(scheme: str, realm: str, more: str = "") -> bytes:
    """How to show who one is: the value of www-authenticate. `more` are other parameters, from ', ' on."""
    plain = realm.replace("\\", "").replace('"', "")
    return written(f'{scheme} realm="{plain}"{more}')


def refused(plugin: Plugin, exchange: Exchange, message: str, challenge: bytes) -> Response | None:
    """What a caller meets who is not known: the 401 with its reason, or what `anonymous_consumer` may do."""
    name: str | None = plugin.conf.get("anonymous_consumer")
    if name is None:
        return unauthorised(message, challenge)
    anonymous = plugin.gate.consumer(name)
    if anonymous is None:
        return unauthorised("Invalid user authorization", challenge)
    as_consumer(exchange, anonymous)
    return None


def unauthorised(message: str, challenge: bytes | None = None) -> Response:
    """401 with a reason, and how to do better."""
    more = () if challenge is None else ((b"www-authenticate", challenge),)
    return Response.json(401, {"message": message}, *more)
