"""What the plugins that limit have in common: whose limit it is, and how much that is where a variable says so."""

from collections.abc import Callable
from typing import Any

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf
from tollkeeper.routes.variables import NAMED, filled, reader

HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]*$"
"""What may stand in the name of a header (RFC 9110, 5.1)."""

NUMBER: Schema = {"oneOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}
"""Or a text with variables in it that make one; see `number_of`."""
RULES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "count": NUMBER,
            "time_window": NUMBER,
            "key": {"type": "string"},
            "header_prefix": {"type": "string", "pattern": HEADER},
        },
        "required": ["count", "time_window", "key"],
    },
}
"""Several limits, each with a count, a window and a key of its own."""
KEY_TYPE: Schema = {"type": "string", "enum": ["var", "var_combination", "constant"], "default": "var"}
REJECTION: Schema = {
    "rejected_code": {"type": "integer", "minimum": 200, "maximum": 599, "default": 503},
    "rejected_msg": {"type": "string", "minLength": 1},
}


def key_reader(conf: Conf) -> Callable[[Exchange], str]:
    """Reads what `key` and `key_type` name in a request; the client's address where that is nothing."""
    key: str = conf["key"]
    kind = conf["key_type"]
    if kind == "constant":
        return lambda exchange: key
    if kind == "var":
        read = reader(key)
        return lambda exchange: read(exchange) or exchange.request.client
    return lambda exchange: filled(key, exchange) if names_any(key, exchange) else exchange.request.client


def names_any(template: str, exchange: Exchange) -> bool:
    """Whether some variable in it has a value."""
    return any(exchange.var(match[1] or match[2]) is not None for match in NAMED.finditer(template))


def number_of(value: Any, exchange: Exchange) -> float | None:
    """A number above 0, or what the variables in a text make one; None where they make none."""
    if isinstance(value, str):
        try:
            value = float(filled(value, exchange))
        except ValueError:
            return None
    return value if 0 < value < float("inf") else None


def rejected(conf: Conf) -> Response:
    """The answer to a request that is over its limit."""
    message = conf.get("rejected_msg")
    if message is None:
        return Response(conf["rejected_code"])
    return Response.json(conf["rejected_code"], {"error_msg": message})
