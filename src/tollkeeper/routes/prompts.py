"""What plugins that change prompts have in common: messages as they are configured, and a request's JSON object."""

from typing import Any

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.wire.json_text import BadJson

MESSAGES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": "string", "minLength": 1},
        },
        "required": ["role", "content"],
    },
}


async def asked(exchange: Exchange) -> dict[str, Any] | Response:
    """The request's JSON object, or the refusal of what is none."""
    try:
        given = exchange.request.json(await exchange.request.read())
    except BadJson as error:
        return Response.json(400, {"message": f"could not parse JSON request body: {error}"})
    if not isinstance(given, dict):
        return Response.json(400, {"message": "the JSON request body must be an object"})
    return given
