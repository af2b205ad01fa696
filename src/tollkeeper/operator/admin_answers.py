"""How the Admin API answers: JSON with a line feed, the headers that APISIX's clients look at."""

from typing import Any

import msgspec
from starlette.responses import Response

from tollkeeper.core.errors import TollkeeperError

HEADERS = {"server": "APISIX/3.18.0", "x-api-version": "v3"}
"""Clients such as ADC read from `server` which version's form is spoken."""


class Refusal(Exception):
    """Ends a request with a status and a body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def too_often(error: TollkeeperError) -> Response:
    """A request too many in APISIX's form, with when to come again."""
    response = answer(error.status, {"error_msg": error.message})
    response.headers.update({name.decode(): value.decode() for name, value in error.headers})
    return response


def answer(status: int, body: Any) -> Response:
    """`body` as JSON; None: no body; text as it is."""
    if body is None:
        return Response(b"", status, HEADERS, "application/json")
    if isinstance(body, str):
        return Response(body, status, HEADERS, "text/plain; charset=utf-8")
    return Response(msgspec.json.encode(body) + b"\n", status, HEADERS, "application/json")
