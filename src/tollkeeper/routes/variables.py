"""The variables that a route's `vars`, keys of limits and rewritten headers may name, as APISIX names them."""

import base64
import binascii
import re
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tollkeeper.routes.headers import text
from tollkeeper.wire.json_text import BadJson

if TYPE_CHECKING:
    from tollkeeper.routes.exchange import Exchange

CAME_FROM = "came_from"
"""The note of an exchange whose client is somebody else than its connection: that one's address and port."""
NAMED = re.compile(r"(?<!\\)\$(?:\{(\w+)\}|(\w+))")
"""$name and ${name} in a text; a backslash before it makes it plain, as in APISIX."""


def variable(exchange: "Exchange", name: str) -> str | None:
    """Its value; None where there is none. Of several arguments or headers with one name, the first."""
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain(exchange)
    prefix, _, rest = name.partition("_")
    family = _FAMILIES.get(prefix)
    if family is not None and rest:
        return family(exchange, rest)
    return exchange.parameters.get(name.removeprefix("uri_param_"))


def reader(name: str) -> "Callable[[Exchange], str | None]":
    """Reads that variable, found once for many exchanges."""
    return _PLAIN.get(name) or (lambda exchange: variable(exchange, name))


def filled(template: str, exchange: "Exchange") -> str:
    """`template` with every $name and ${name} in it replaced; what has no value is empty."""
    if "$" not in template:
        return template
    return NAMED.sub(lambda match: variable(exchange, match[1] or match[2]) or "", template)


def _argument(exchange: "Exchange", name: str) -> str | None:
    query = exchange.request.query
    if name not in query and "%" not in query:
        return None
    return next((value for each, value in parse_qsl(query, keep_blank_values=True) if each == name), None)


def _header(exchange: "Exchange", name: str) -> str | None:
    found = exchange.request.headers.get(name.replace("_", "-").lower().encode("latin-1", "replace"))
    return None if found is None else text(found)


def _sent_header(exchange: "Exchange", name: str) -> str | None:
    if name.startswith("http_") and exchange.response is not None:
        wanted = name[5:].replace("_", "-").lower().encode("latin-1", "replace")
        found = exchange.response.headers.get(wanted)
        return None if found is None else text(found)
    return None


def _cookie(exchange: "Exchange", name: str) -> str | None:
    # Not http.cookies: with one cookie that is not as it likes them, it finds none of those after it.
    for pair in text(exchange.request.headers.get(b"cookie") or b"").split(";"):
        each, equals, value = pair.partition("=")
        if equals and each.strip() == name:
            value = value.strip()
            return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return None


def _posted(exchange: "Exchange", name: str) -> str | None:
    """From a form or JSON body that has been read already; the pipeline reads it for routes whose rules need it."""
    body = exchange.request.whole
    if not body:
        return None
    kind = exchange.request.headers.get(b"content-type") or b""
    if name.startswith("arg."):
        value: object
        try:
            value = exchange.request.json(body)
        except BadJson:
            return None
        for part in name[4:].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return None if value is None or isinstance(value, (dict, list)) else _shown(value)
    if name.startswith("arg_") and b"x-www-form-urlencoded" in kind:
        pairs = exchange.request.form(body)
        return next((value for each, value in pairs if each == name[4:]), None)
    return None


def _graphql(exchange: "Exchange", name: str) -> str | None:
    """operation, name and root_fields of a GraphQL request, by its first operation's head."""
    body = exchange.request.whole
    query = _argument(exchange, "query") or ""
    if body:
        try:
            found = exchange.request.json(body)
            asked = found.get("query") if isinstance(found, dict) else None
            query = asked if isinstance(asked, str) else ""
        except BadJson:
            query = body.decode("utf-8", "replace")
    match = re.match(r"\s*(query|mutation|subscription)?\s*(\w+)?[^{]*\{\s*(\w+)", query)
    if match is None:
        return None
    return {"operation": match[1] or "query", "name": match[2], "root_fields": match[3]}.get(name)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _told(exchange: "Exchange", form: str) -> str | None:
    """The time in UTC, in a form of strftime's."""
    return None if exchange.clocks is None else time.strftime(form, time.gmtime(exchange.clocks[0]()))


def _user(exchange: "Exchange") -> str | None:
    """The name by which the client authenticates itself (RFC 7617), whether that is right or not."""
    scheme, _, encoded = (exchange.request.headers.get(b"authorization") or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return text(base64.b64decode(encoded.strip(), validate=True).partition(b":")[0])
    except binascii.Error:
        return None


def _request_length(exchange: "Exchange") -> str:
    body = exchange.request.whole
    return str(len(body) if body is not None else exchange.request.length or 0)


_PLAIN: dict[str, Callable[["Exchange"], str | None]] = {
    "uri": lambda x: x.request.path,
    "document_uri": lambda x: x.request.path,
    "request_uri": lambda x: x.request.arrived,
    "request_method": lambda x: x.request.method,
    "remote_addr": lambda x: x.request.client,
    "remote_port": lambda x: str(x.request.client_port or ""),
    "realip_remote_addr": lambda x: x.notes.get(CAME_FROM, (x.request.client, 0))[0],
    "realip_remote_port": lambda x: str(x.notes.get(CAME_FROM, (None, x.request.client_port))[1] or ""),
    "server_addr": lambda x: x.request.server[0],
    "server_port": lambda x: str(x.request.server[1]),
    "server_name": lambda x: x.request.host,
    "host": lambda x: x.request.host,
    "hostname": lambda x: socket.gethostname(),
    "scheme": lambda x: x.request.scheme,
    "https": lambda x: "on" if x.request.scheme == "https" else "",
    "query_string": lambda x: x.request.query or None,
    "args": lambda x: x.request.query or None,
    "is_args": lambda x: "?" if x.request.query else "",
    "request_id": lambda x: x.request_id,
    "apisix_request_id": lambda x: x.request_id,
    "request_length": _request_length,
    "content_type": lambda x: _header(x, "content-type"),
    "content_length": lambda x: _header(x, "content-length"),
    "status": lambda x: None if x.response is None else str(x.response.status),
    "upstream_addr": lambda x: x.node,
    "upstream_status": lambda x: None if x.upstream_status is None else str(x.upstream_status),
    "upstream_response_time": lambda x: None if x.upstream_seconds is None else f"{x.upstream_seconds:.3f}",
    "balancer_ip": lambda x: None if x.node is None else x.node.rpartition(":")[0].strip("[]"),
    "balancer_port": lambda x: None if x.node is None else x.node.rpartition(":")[2],
    "body_bytes_sent": lambda x: str(x.sent_bytes),
    "request_body": lambda x: None if x.request.whole is None else text(x.request.whole),
    "request_time": lambda x: None if x.clocks is None else f"{x.clocks[1]() - x.started:.3f}",
    "msec": lambda x: None if x.clocks is None else f"{x.clocks[0]():.3f}",
    "time_iso8601": lambda x: _told(x, "%Y-%m-%dT%H:%M:%S+00:00"),
    "time_local": lambda x: _told(x, "%d/%b/%Y:%H:%M:%S +0000"),
    "remote_user": lambda x: _user(x),
    "route_id": lambda x: None if x.route is None else x.route.id,
    "route_name": lambda x: None if x.route is None else x.route.name,
    "matched_uri": lambda x: None if x.route is None else x.route.uri_of(x.request.came[0]),
    "matched_host": lambda x: None if x.route is None else x.route.host_of(x.request.host),
    "service_id": lambda x: None if x.route is None else x.route.service_id,
    "service_name": lambda x: None if x.route is None else x.route.service_name,
    "consumer_name": lambda x: None if x.consumer is None else x.consumer.name,
    "consumer_group_id": lambda x: None if x.consumer is None else x.consumer.group_id,
}
_FAMILIES: dict[str, Callable[["Exchange", str], str | None]] = {
    "arg": _argument,
    "http": _header,
    "cookie": _cookie,
    "sent": _sent_header,
    "post": _posted,
    "graphql": _graphql,
}
