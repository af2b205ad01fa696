"""What a change comes to, in words: which requests a route takes, what they meet on their way, and where they go."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tollkeeper.core.revisions import Change
from tollkeeper.routes.checking import View

_CALLED_BY = {
    "upstreams": "upstream_id",
    "services": "service_id",
    "plugin_configs": "plugin_config_id",
}
_MOST = 20
"""Lines about one resource that others refer to."""


def effects(changes: Sequence[Change], view: View) -> Iterator[str]:
    """One line for each route that is changed, and for each that what it refers to is changed under. `view` is after."""
    told = {change.id for change in changes if change.kind == "routes"}
    for change in changes:
        if change.kind == "routes":
            if change.after is None:
                yield f"{_requests(change.before or {}, view)} are no longer taken by route {change.id}."
            else:
                yield f"{_requests(change.after, view)} {_meet(change.after, view)}."
        elif change.kind in _CALLED_BY:
            yield from _users(change, view, told)
        elif change.kind == "global_rules":
            names = ", ".join(sorted((change.after or change.before or {}).get("plugins", {})))
            yield f"All requests {'no longer ' if change.after is None else ''}meet {names}."
        elif change.kind in ("consumers", "credentials"):
            name = change.id.partition("/")[0]
            gone = change.after is None
            yield f"The consumer {name} {'loses a way in' if gone else 'may come in by ' + _ways(change.after or {})}."


def _users(change: Change, view: View, told: set[str]) -> Iterator[str]:
    field = _CALLED_BY[change.kind]
    services = {id for id, value in view.all("services") if str(value.get(field)) == change.id}
    for count, value in enumerate(
        value
        for id, value in view.all("routes")
        if id not in told and (str(value.get(field)) == change.id or str(value.get("service_id")) in services)
    ):
        if count == _MOST:
            yield f"More routes use {change.kind}/{change.id}."
            return
        yield f"{_requests(value, view)} {_meet(value, view)}."


def _requests(route: Mapping[str, Any], view: View) -> str:
    service = _named(view, "services", route.get("service_id"))
    paths = route.get("uris") or [route.get("uri", "?")]
    hosts = route.get("hosts") or ([route["host"]] if "host" in route else service.get("hosts", []))
    methods = route.get("methods")
    said = f"{'Requests' if not methods else ', '.join(methods) + ' requests'} to {' and '.join(paths)}"
    if hosts:
        said += f" at {' and '.join(hosts)}"
    more = [name for name in ("vars", "remote_addr", "remote_addrs", "filter_func") if name in route]
    return said + (f" (where {' and '.join(more)} fit)" if more else "")


def _meet(route: Mapping[str, Any], view: View) -> str:
    if route.get("status", 1) == 0:
        return "are not taken: the route is switched off"
    service = _named(view, "services", route.get("service_id"))
    config = _named(view, "plugin_configs", route.get("plugin_config_id"))
    plugins = {
        **service.get("plugins", {}),
        **config.get("plugins", {}),
        **route.get("plugins", {}),
    }
    for _, rule in view.all("global_rules"):
        plugins = {**rule.get("plugins", {}), **plugins}
    names = [name for name, conf in plugins.items() if not conf.get("_meta", {}).get("disable")]
    met = f"meet {', '.join(sorted(names))} and " if names else ""
    shares = "".join(_shares(plugins["traffic-split"], view)) if "traffic-split" in names else ""
    return f"{met}go to {_nodes((route, service), view)}{shares}"


def _shares(split: Mapping[str, Any], view: View) -> Iterator[str]:
    for rule in split.get("rules", ()):
        shares = rule.get("weighted_upstreams", ())
        whole = sum(share.get("weight", 1) for share in shares)
        for share in shares:
            if ("upstream" in share or "upstream_id" in share) and share.get("weight", 1) > 0:
                weight = share.get("weight", 1)
                each = math.gcd(weight, whole)
                fitting = " of those that fit its rule" if rule.get("match") else ""
                yield f", {weight // each} in {whole // each}{fitting} to {_nodes((share,), view)}"


def _nodes(owners: Iterable[Mapping[str, Any]], view: View) -> str:
    for value in owners:
        upstream = value.get("upstream") or _named(view, "upstreams", value.get("upstream_id"))
        if upstream:
            nodes = upstream.get("nodes") or {}
            shown = nodes if isinstance(nodes, dict) else [f"{each['host']}:{each.get('port', '')}" for each in nodes]
            return " or ".join(_first(str(each).rstrip(":") for each in shown)) or "no node"
    return "no upstream"


def _first(names: Iterable[str], most: int = 4) -> list[str]:
    found = list(names)
    return [*found[:most], f"{len(found) - most} others"] if len(found) > most else found


def _ways(consumer: Mapping[str, Any]) -> str:
    return ", ".join(sorted(consumer.get("plugins", {}))) or "a key of the gate with this name or owner"


def _named(view: View, kind: str, id: Any) -> Mapping[str, Any]:
    found = None if id is None else view.get(kind, str(id))
    return found or {}
