"""What a logger writes down of one request: a form of its own, or the usual fields. Credentials are left out."""

import base64
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.headers import text
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.variables import filled

_SECRET = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie", "set-cookie"),
        *("apikey", "api-key", "x-api-key", "x-userinfo"),
        *("x-access-token", "x-id-token", "x-raw-id-token", "x-refresh-token"),
    )
)
HIDDEN = "***"
LOG_FORMAT: Schema = {"type": "object", "additionalProperties": {"type": ["string", "object"]}}


def record(
    exchange: Exchange, log_format: Mapping[str, Any] | None, now: float, monotonic: float, bodies: Mapping[str, bytes]
) -> bytes:
    """One line of JSON without its line feed. `now` is Unix seconds; `bodies` are those of request and response to add.

    A form of one's own has the route's and the service's id too, as APISIX's loggers write them.
    """
    value = _all(exchange, now, monotonic) if not log_format else _formed(log_format, exchange)
    if log_format and exchange.route is not None:
        value.setdefault("route_id", exchange.route.id)
        if exchange.route.service_id is not None:
            value.setdefault("service_id", exchange.route.service_id)
    for side, body in bodies.items():
        part = value.setdefault(side, {})
        if isinstance(part, dict):
            part["body"] = _text(body)
    return msgspec.json.encode(value)


def _formed(log_format: Mapping[str, Any], exchange: Exchange) -> dict[str, Any]:
    return {
        name: _formed(each, exchange) if isinstance(each, dict) else _readable(filled(str(each), exchange))
        for name, each in log_format.items()
    }


def _all(exchange: Exchange, now: float, monotonic: float) -> dict[str, Any]:
    request, response, route = exchange.request, exchange.response, exchange.route
    seconds = monotonic - exchange.started
    upstream = exchange.upstream_seconds
    path, query = request.came
    came = _less_secret(query, exchange.secret_names)
    arrived = _readable(path + ("?" + came if came else ""))
    value: dict[str, Any] = {
        "request": {
            "url": f"{request.scheme}://{request.host}:{request.server[1]}{arrived}",
            "uri": arrived,
            "method": request.method,
            "headers": _shown(request.headers.items, exchange.secret_names),
            "querystring": _less_secret(request.query, exchange.secret_names),
            "size": request.length or len(request.whole or b""),
        },
        "response": {
            "status": 0 if response is None else response.status,
            "headers": {} if response is None else _shown(response.headers.items),
            "size": exchange.sent_bytes,
        },
        "server": {"hostname": socket.gethostname(), "version": "tollkeeper"},
        "request_id": exchange.request_id,
        "route_id": None if route is None else route.id,
        "service_id": "" if route is None else route.service_id or "",
        "client_ip": request.client,
        "start_time": round((now - seconds) * 1000),
        "start_time_iso8601": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - seconds)),
        "latency": round(seconds * 1000, 3),
        "upstream_latency": None if upstream is None else round(upstream * 1000, 3),
        "apisix_latency": round((seconds - (upstream or 0.0)) * 1000, 3),
        "upstream": exchange.node,
    }
    if exchange.consumer is not None:
        value["consumer"] = {"username": exchange.consumer.name}
    return value


def _readable(sent: str) -> str:
    """Bytes that are no UTF-8 as \\xff: JSON has no way to write them, and who sends them is not to go unseen."""
    return sent.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _less_secret(query: str, names: frozenset[str]) -> str:
    """A query in which the arguments of these names have no value; the others are as they were sent."""
    if not names or not query:
        return query
    parts = query.split("&")
    for place, part in enumerate(parts):
        if any(name in names for name, _ in parse_qsl(part, keep_blank_values=True)):
            parts[place] = f"{part.partition('=')[0]}={HIDDEN}"
    return "&".join(parts)


def _shown(headers: list[tuple[bytes, bytes]], secret: frozenset[str] = frozenset()) -> dict[str, str]:
    shown: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1")
        said = HIDDEN if name in _SECRET or name in secret else _readable(text(value))
        shown[name] = f"{shown[name]}, {said}" if name in shown else said
    return shown


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii")
