"""The Admin API's /plugins, /schema and /configs: what may be configured, and whether something could be."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from tollkeeper.app import App
from tollkeeper.core.errors import CallerError
from tollkeeper.operator.admin_answers import Refusal, answer
from tollkeeper.routes.plugin import Plugin
from tollkeeper.routes.registry import META
from tollkeeper.routes.resource_schemas import CALLED, SCHEMAS

_BY_NAME = {called.replace(" ", "_"): kind for kind, called in CALLED.items()} | {kind: kind for kind in CALLED}
_PREFIX = "invalid configuration: "


async def answered(
    first: str,
    rest: list[str],
    method: str,
    app: App,
    body: Callable[[], Awaitable[Any]],
    query: Mapping[str, str],
) -> Response:
    """Raises Refusal."""
    if first == "plugins":
        return await _plugins(rest, method, app, query)
    if first == "configs":
        if rest == ["validate"] and method == "POST":
            return _all_validated(app, await body())
    elif rest[:1] == ["validate"] and len(rest) == 2 and method == "POST":
        return _validated(app, rest[1], await body())
    elif method == "GET" and rest:
        return await _schema(app, rest)
    raise Refusal(404, {"error_msg": "not found"})


async def _plugins(rest: list[str], method: str, app: App, query: Mapping[str, str]) -> Response:
    if rest == ["reload"]:
        if method == "PUT":
            return answer(200, "done")
        words = f"please use PUT method to reload the plugins, {method} method is not allowed."
        raise Refusal(405, {"error_msg": words})
    if method != "GET":
        raise Refusal(404, {"error_msg": "not found"})
    subsystem = query.get("subsystem", "http")
    if subsystem not in ("http", "stream"):
        raise Refusal(400, {"error_msg": f"unsupported subsystem: {subsystem}"})
    registry = app.routes.registry
    if rest == ["list"] or (not rest and query.get("all") == "true"):
        # On a thread: those that nobody has used yet are imported, which takes a third of a second of CPU.
        known = await asyncio.to_thread(registry.all) if subsystem == "http" else {}
        return answer(200, list(known) if rest else {name: _described(plugin) for name, plugin in known.items()})
    if not rest:
        raise Refusal(400, {"error_msg": "not found: say all=true, or a plugin's name"})
    plugin = await asyncio.to_thread(registry.get, rest[0]) if subsystem == "http" else None
    if plugin is None:
        raise Refusal(404, {"error_msg": f"plugin not found in subsystem {subsystem}"})
    wanted = query.get("schema_type")
    if wanted == "consumer":
        return answer(200, plugin.consumer_schema or {})
    if wanted == "metadata":
        return answer(200, plugin.metadata_schema or {})
    return answer(200, _with_meta(plugin))


def _described(plugin: type[Plugin]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": plugin.version,
        "priority": plugin.priority,
        "schema": _with_meta(plugin),
        "scope": "global",
    }
    if plugin.kind is not None:
        found["type"] = plugin.kind
    if plugin.consumer_schema is not None:
        found["consumer_schema"] = plugin.consumer_schema
    if plugin.metadata_schema is not None:
        found["metadata_schema"] = plugin.metadata_schema
    return found


def _with_meta(plugin: type[Plugin]) -> dict[str, Any]:
    return {**plugin.schema, "properties": {**plugin.schema.get("properties", {}), "_meta": META}}


async def _schema(app: App, rest: list[str]) -> Response:
    if rest[0] == "plugins" and len(rest) == 2:
        plugin = await asyncio.to_thread(app.routes.registry.get, rest[1])
        if plugin is not None:
            return answer(200, _with_meta(plugin))
    elif rest[0] in _BY_NAME:
        return answer(200, SCHEMAS[_BY_NAME[rest[0]]])
    raise Refusal(400, {"error_msg": f"not found schema: {rest[-1]}"})


def _validated(app: App, resource: str, value: Any) -> Response:
    kind = _BY_NAME.get(resource)
    if kind is None:
        raise Refusal(404, {"error_msg": f"Unsupported resource type: {resource}"})
    words = _wrong(app, kind, value)
    if words is not None:
        raise Refusal(400, {"error_msg": words.removeprefix(_PREFIX)})
    return answer(200, None)


def _wrong(app: App, kind: str, value: Any) -> str | None:
    if not isinstance(value, dict):
        return "wrong type: expected object"
    administration = app.routes.administration
    draft = administration.draft()
    try:
        administration.put(draft, kind, str(value.get("username") or value.get("id") or ""), value)
        administration.check(draft)
    except CallerError as error:
        return error.message
    return None


def _all_validated(app: App, given: Any) -> Response:
    """Everything together, so that resources may refer to one another."""
    if not isinstance(given, dict):
        raise Refusal(400, {"error_msg": "invalid configuration"})
    administration = app.routes.administration
    draft = administration.draft()
    errors: list[dict[str, Any]] = []
    places: dict[tuple[str, str], int] = {}
    for kind, resources in given.items():
        if kind not in SCHEMAS or not isinstance(resources, list):
            errors.append({"resource_type": kind, "error": f"Unsupported resource type: {kind}"})
            continue
        for place, value in enumerate(resources):
            id = str(value.get("username") or value.get("id") or f"#{place}") if isinstance(value, dict) else ""
            if not id:
                errors.append({"resource_type": kind, "index": place, "error": "wrong type: expected object"})
                continue
            places[kind, id] = place
            draft.set(kind, id, value)
    for kind, id, words in draft.problems(administration.checker):
        named = None if id.startswith("#") else id
        errors.append({"resource_type": kind, "resource_id": named, "index": places[kind, id], "error": words})
    if errors:
        raise Refusal(400, {"error_msg": "Configuration validation failed", "errors": errors})
    return answer(200, {})
