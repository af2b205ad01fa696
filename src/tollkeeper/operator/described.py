"""The administration as chat clients import it: a small OpenAPI document, a plugin manifest, a logo. None holds a secret.

Kept within what GPT Actions take: verb-first ids, descriptions of at most 300 characters, far fewer than 100,000 in all
(https://platform.openai.com/docs/actions). Clients that only know GET and POST find getAllRoutes, createRoute and
getRouteById. What is read is read without secrets.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from tollkeeper.core.version import __version__

TITLE = "Tollkeeper administration"
_ADMIN, _API = "/apisix/admin", "/api"
_TEXT = {"type": "string"}
_ANY = {"type": "object"}
_NODES = {
    "description": 'Where requests go: {"host:port": weight}.',
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 0},
}
_PLUGINS = {"type": "object", "description": "By name; GET /apisix/admin/schema/plugins/{name} says what each takes."}
_UPSTREAM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["roundrobin", "chash", "ewma", "least_conn"]},
        "nodes": _NODES,
        "scheme": {"type": "string", "enum": ["http", "https"]},
        "pass_host": {"type": "string", "enum": ["pass", "node", "rewrite"]},
    },
    "required": ["nodes"],
}
_ROUTE = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "desc": _TEXT,
        "uri": {"type": "string", "description": "A path; a * at its end stands for anything."},
        "methods": {"type": "array", "items": _TEXT},
        "host": _TEXT,
        "priority": {"type": "integer"},
        "plugins": _PLUGINS,
        "upstream": _UPSTREAM,
        "upstream_id": _TEXT,
        "service_id": _TEXT,
        "status": {"type": "integer", "enum": [0, 1]},
    },
    "required": ["uri"],
}
_STEPS = {
    "type": "object",
    "properties": {
        "what": {"type": "string", "description": "In a few words, for the history."},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "do": {"type": "string", "enum": ["put", "patch", "delete"]},
                    "kind": {"type": "string", "description": "routes, upstreams, services, consumers, …"},
                    "id": _TEXT,
                    "value": {"type": "object", "description": "The resource, or what to merge into it."},
                },
                "required": ["do", "kind", "id"],
            },
        },
    },
    "required": ["what", "steps"],
}


def openapi(server: str) -> dict[str, Any]:
    """OpenAPI 3.1. `server` is where the operator port is reached."""
    operations = [
        ("get", f"{_API}/resources/routes", "getAllRoutes", "List routes, 50 a page.", None),
        ("post", f"{_ADMIN}/routes", "createRoute", "Create a route at once. Prefer proposeChanges.", _ROUTE),
        ("get", f"{_API}/resources/routes/{{id}}", "getRouteById", "Show one route.", None),
        (
            "patch",
            f"{_API}/resources/routes/{{id}}",
            "updateRoute",
            "Merge changes into a route; null takes a field away.",
            _ANY,
        ),
        ("delete", f"{_ADMIN}/routes/{{id}}", "deleteRoute", "Delete a route. It can be undone.", None),
        ("get", f"{_API}/resources/upstreams", "getAllUpstreams", "List upstreams, 50 a page.", None),
        (
            "get",
            f"{_API}/resources/consumers",
            "getAllConsumers",
            "List consumers, 50 a page; secrets are hidden.",
            None,
        ),
        ("get", f"{_ADMIN}/plugins/list", "listPlugins", "List the plugins that routes can use.", None),
        ("get", f"{_ADMIN}/schema/plugins/{{name}}", "getPluginSchema", "Show what a plugin takes.", None),
        (
            "post",
            f"{_API}/proposals",
            "proposeChanges",
            "Check changes together and show their difference and effects. Nothing is changed: show it to the user first.",
            _STEPS,
        ),
        ("post", f"{_API}/proposals/{{id}}/apply", "applyProposal", "Apply a proposal the user has agreed to.", None),
        ("get", f"{_API}/routes/revisions", "listRevisions", "List what was changed, newest first.", None),
        (
            "post",
            f"{_API}/routes/revisions/{{number}}/undo",
            "undoRevision",
            "Take back what a revision changed.",
            None,
        ),
        ("get", f"{_API}/usage", "getUsage", "Sum requests, tokens and cost of model calls by key.", None),
        ("get", f"{_API}/health", "getHealth", "Tell how the models' targets fare.", None),
    ]
    paths: dict[str, Any] = {}
    for method, path, name, description, body in operations:
        paths.setdefault(path, {})[method] = _operation(method, path, name, description, body)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": "Routes, plugins and usage of an API gateway. Changes are proposed, agreed, applied, undone.",
        },
        "servers": [{"url": server}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-KEY"}},
            "schemas": {},
        },
    }


def _operation(method: str, path: str, name: str, description: str, body: dict[str, Any] | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": name,
        "summary": description,
        "x-openai-isConsequential": method != "get" and name != "proposeChanges",
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": _ANY}}},
            "default": {"description": "What is wrong, in words.", "content": {"application/json": {"schema": _ANY}}},
        },
    }
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if names:
        told["parameters"] = [{"name": each, "in": "path", "required": True, "schema": _TEXT} for each in names]
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return told


def openapi_yaml(server: str) -> str:
    """The same, as YAML."""
    import yaml  # which few of the gates that run ever need

    # Made anew: of an object that stands in it twice YAML would make an alias, which not every importer reads.
    document = msgspec.json.decode(msgspec.json.encode(openapi(server)))
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False)


def manifest(server: str, contact: str) -> dict[str, Any]:
    """`ai-plugin.json`, for what still reads the manifests of 2023."""
    return {
        "schema_version": "v1",
        "name_for_human": "Tollkeeper",
        "name_for_model": "tollkeeper",
        "description_for_human": "Run your API gateway by chat.",
        "description_for_model": "Manages routes, plugins and consumers of an API gateway. Look before you propose; "
        "apply a proposal only when the user has agreed to its difference; every change can be undone.",
        "auth": {"type": "user_http", "authorization_type": "bearer"},
        "api": {"type": "openapi", "url": f"{server}/openapi.yaml"},
        "logo_url": f"{server}/logo.png",
        "contact_email": contact,
        "legal_info_url": f"{server}/openapi.json",
    }


@cache
def logo() -> bytes:
    """A PNG."""
    return files("tollkeeper.operator").joinpath("logo.png").read_bytes()
