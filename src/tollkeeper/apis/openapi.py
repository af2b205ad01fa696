"""What the gate offers as an OpenAPI 3.1 document: every published API with examples, and the model endpoints; pure.

https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollkeeper.apis.asked import Api, Description
from tollkeeper.core.version import __version__

_ERROR = {"$ref": "#/components/schemas/Error"}
_ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_OBJECT = {"type": "object"}
_MODEL_ENDPOINTS = (
    ("/v1/chat/completions", "post", "chatCompletions", "A chat, as OpenAI's API has it."),
    ("/v1/responses", "post", "responses", "A response, as OpenAI's API has it."),
    ("/v1/embeddings", "post", "embeddings", "Vectors of texts, as OpenAI's API has them."),
    ("/v1/models", "get", "listModels", "The models that the key may use."),
)


def document(apis: Iterable[Api]) -> dict[str, Any]:
    """The whole document, for JSON."""
    schemas: dict[str, Any] = {"Error": _ERROR_SCHEMA}
    paths: dict[str, Any] = {}
    for api in apis:
        described = api.description
        schemas |= described.definitions
        paths[described.path] = {"post": _operation(described)}
    for path, method, name, text in _MODEL_ENDPOINTS:
        paths[path] = {method: _endpoint(method, name, text)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tollkeeper",
            "version": __version__,
            "description": "What this gate offers: the APIs that are published here, and models. Every call needs a key.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [
            {"name": "apis", "description": "Published APIs."},
            {
                "name": "models",
                "description": "Models by OpenAI's API. Whatever else that has below /v1 is relayed too.",
            },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A Tollkeeper key: tk-…"},
            },
        },
    }


def _operation(described: Description) -> dict[str, Any]:
    summary, _, _ = described.text.partition("\n")
    operation: dict[str, Any] = {
        "operationId": described.name,
        "tags": ["apis"],
        "summary": summary or described.name,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": described.request, "example": described.example}},
        },
        "responses": {
            "200": {
                "description": "The answer; an event stream where `stream` is true or `Accept` says text/event-stream.",
                "content": {
                    "application/json": {"schema": described.answer, "example": described.answer_example},
                    "text/event-stream": {
                        "schema": {
                            "type": "string",
                            "description": "Each event is a piece as JSON; `[DONE]` is the last.",
                        },
                        "example": f"data: {_piece(described)}\n\ndata: [DONE]\n\n",
                    },
                },
            },
            **_errors(),
        },
    }
    if described.text:
        operation["description"] = described.text
    return operation


def _piece(described: Description) -> str:
    shown = described.answer_example
    if isinstance(shown, list) and described.answer.get("type") == "array" and described.piece != described.answer:
        shown = shown[0] if shown else None
    return msgspec.json.encode(shown).decode()


def _endpoint(method: str, name: str, text: str) -> dict[str, Any]:
    answered = {"200": {"description": "The answer.", "content": {"application/json": {"schema": _OBJECT}}}}
    operation: dict[str, Any] = {"operationId": name, "tags": ["models"], "summary": text}
    if method == "post":
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _OBJECT}}}
    return {**operation, "responses": {**answered, **_errors()}}


def _errors() -> dict[str, Any]:
    content = {"application/json": {"schema": _ERROR}}
    return {
        "4XX": {"description": "The request cannot be served as sent: `code` says why.", "content": content},
        "5XX": {"description": "The gate or a provider failed.", "content": content},
    }
