"""Whether a resource can be what it is to become: its schema, its plugins, what it refers to, what refers to it."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from tollkeeper.routes import expressions, json_schema
from tollkeeper.routes.nodes import split
from tollkeeper.routes.registry import Invalid, Registry
from tollkeeper.routes.resource_schemas import CALLED, SCHEMAS, SECRETS

Value = Mapping[str, Any]
_HOST = re.compile(r"[0-9A-Za-z._:-]+")


class View(Protocol):
    """All resources as they would be."""

    def get(self, kind: str, id: str) -> Value | None: ...

    def all(self, kind: str) -> Iterable[tuple[str, Value]]: ...


class Judge(Protocol):
    """Says whether a resource can be."""

    def check(self, kind: str, id: str, value: dict[str, Any], view: View) -> None:
        """Raises Invalid with what is wrong."""
        ...


class Checker:
    """Checks one resource among the others. Implements `Judge`."""

    def __init__(self, registry: Registry, allowed: Callable[[str], bool]) -> None:
        self._registry = registry
        self._allowed = allowed

    def check(self, kind: str, id: str, value: dict[str, Any], view: View) -> None:
        """Raises Invalid with APISIX's words for what is wrong."""
        if kind == "routes":
            for one, several in (("host", "hosts"), ("remote_addr", "remote_addrs")):
                if one in value and several in value:
                    raise Invalid(f"only one of {one} or {several} is allowed")
        words = json_schema.wrong(value, _schema_of_secret(id) if kind == "secrets" else SCHEMAS[kind])
        if words is not None:
            raise Invalid(f"invalid configuration: {words}")
        _named(kind, id, value)
        if kind == "upstreams":
            self._upstream(value)
        if "upstream" in value:
            self._upstream(value["upstream"])
        self._references(value, view)
        if kind != "secrets" and _managed(value):
            raise Invalid("$secret:// is not read here; use $env://NAME")
        if kind == "plugin_metadata":
            self._registry.check_metadata(id, {name: each for name, each in value.items() if name != "id"})
        if "plugins" in value:
            self._plugins(kind, id, value, view)
        if kind == "routes":
            self._route(value)
        if "script" in value:
            raise Invalid("failed to load 'script' string: Lua is not run here; use plugins")

    def _plugins(self, kind: str, id: str, value: Value, view: View) -> None:
        personal = kind in ("consumers", "credentials")
        try:
            self._registry.check(value["plugins"], lambda name: _others(view, name, (kind, id)), consumer=personal)
        except Invalid as error:
            raise Invalid(f"invalid plugins configuration: {error}" if personal else str(error)) from None
        for name, conf in value["plugins"].items():
            self._described(name, conf)
        if personal:
            self._duplicates(kind, id, value, view)
        if kind == "global_rules":
            for other, rule in view.all("global_rules"):
                for name in value["plugins"] if other != id else ():
                    if name in rule["plugins"]:
                        raise Invalid(f"plugin '{name}' already exists in global rule with id '{other}'")

    def _described(self, name: str, conf: Value) -> None:
        """The upstreams that a plugin's configuration describes itself."""
        plugin = self._registry.get(name)
        for upstream in () if plugin is None else plugin.upstreams(conf):
            try:
                self._upstream(upstream)
            except Invalid as error:
                raise Invalid(f"failed to check the configuration of plugin {name} err: {error}") from None

    def _duplicates(self, kind: str, id: str, value: Value, view: View) -> None:
        """No two consumers may have one key: which of them would it be?"""
        for name, conf in value["plugins"].items():
            plugin = self._registry.get(name)
            if plugin is None or plugin.kind != "auth":
                if kind == "credentials":
                    raise Invalid("only supports auth type plugins in consumer credential")
                continue
            key = conf.get(plugin.consumer_key)
            for other_kind in ("consumers", "credentials"):
                for other, each in view.all(other_kind):
                    theirs = (each.get("plugins") or {}).get(name)
                    if theirs is None or (other_kind, other) == (kind, id) or theirs.get(plugin.consumer_key) != key:
                        continue
                    user, _, credential = other.partition("/")
                    found = f"credential: {credential} of consumer: {user}" if credential else f"consumer: {user}"
                    raise Invalid(f"duplicate key of plugin {name} found with {found}")

    def _route(self, value: Value) -> None:
        for uri in value.get("uris", (value.get("uri"),)):
            if uri != "*" and not uri.startswith("/"):
                raise Invalid(
                    f'invalid uri {uri!r}: it matches no path; begin it with "/", or write "*" for every path'
                )
        if "vars" in value:
            try:
                expressions.compiled(value["vars"])
            except expressions.BadExpression as error:
                raise Invalid(f"failed to validate the 'vars' expression: {error}") from None
        for field in ("remote_addrs", "remote_addr"):
            if field in value:
                given = value[field]
                try:
                    expressions.addresses(given if isinstance(given, list) else [given])
                except expressions.BadExpression as error:
                    raise Invalid(f"invalid {field}: {error}") from None
        if "filter_func" in value:
            raise Invalid("failed to load 'filter_func' string: Lua is not run here; use vars")

    def _upstream(self, value: Value) -> None:
        if value.get("pass_host") == "rewrite" and not value.get("upstream_host"):
            raise Invalid("`upstream_host` can't be empty when `pass_host` is `rewrite`")
        if value.get("type") == "chash" and value.get("hash_on") != "consumer" and not value.get("key"):
            raise Invalid("missing key")
        check_nodes(value, self._allowed)

    @staticmethod
    def _references(value: Value, view: View) -> None:
        for field, kind, called in (
            ("upstream_id", "upstreams", "upstream"),
            ("service_id", "services", "service"),
            ("plugin_config_id", "plugin_configs", "plugin config"),
            ("group_id", "consumer_groups", "consumer group"),
        ):
            if field in value and view.get(kind, str(value[field])) is None:
                raise Invalid(f"failed to fetch {called} info by {called} id [{value[field]}], response code: 404")


def _schema_of_secret(id: str) -> json_schema.Schema:
    manager = id.partition("/")[0]
    if manager not in SECRETS:
        raise Invalid(f"secret manager not exits, manager: {manager}")
    return SECRETS[manager]


def _named(kind: str, id: str, value: Value) -> None:
    """Raises Invalid where a resource calls itself otherwise than it is called: two consumers would be one to upstreams."""
    if kind == "consumers":
        if value["username"] != id:
            raise Invalid("wrong username")
    elif "id" in value and str(value["id"]) not in (id, id.rpartition("/")[2]):
        raise Invalid(f"wrong {CALLED[kind]} id")


def check_nodes(value: Value, allowed: Callable[[str], bool]) -> None:
    """Raises Invalid where a node of an upstream is no host, or has an address that is not allowed."""
    nodes = value.get("nodes") or {}
    hosts = nodes if isinstance(nodes, dict) else [each["host"] for each in nodes]
    for host in hosts:
        try:
            name, _ = split(host)
        except ValueError as error:
            raise Invalid(str(error)) from None
        if _HOST.fullmatch(name) is None:
            raise Invalid(
                f"invalid node {host!r}: a host is a name of letters, digits, '-', '_' and '.', or an address"
            )
        try:
            ipaddress.ip_address(name)
        except ValueError:
            continue  # a name: its addresses are looked at when a connection is made
        if not allowed(name):
            raise Invalid(f"node {host} is not allowed: its address is in no network of [routing] allow_nodes")


def users(kind: str, id: str, view: View) -> Iterator[str]:
    """Who refers to a resource, in the words of a refusal to delete it."""
    field = {
        "upstreams": "upstream_id",
        "services": "service_id",
        "plugin_configs": "plugin_config_id",
        "consumer_groups": "group_id",
    }.get(kind)
    if field is not None:
        for other_kind in ("routes", "services", "consumers"):
            for other, value in view.all(other_kind):
                if field in value and str(value[field]) == id:
                    yield f"{CALLED[other_kind]} [{other}] is still using it now"
    wanted = {"upstreams": "upstream_id", "protos": "proto_id"}.get(kind)
    if wanted is not None:
        for other_kind in ("routes", "services", "plugin_configs", "consumers", "consumer_groups", "global_rules"):
            for other, value in view.all(other_kind):
                if value.get("plugins") and _names(value["plugins"], wanted, id):
                    plugin = "plugin in " if kind == "upstreams" else ""
                    yield f"{plugin}{CALLED[other_kind]} [{other}] is still using it now"


def _managed(conf: Any) -> bool:
    if isinstance(conf, str):
        return conf.startswith("$") and conf[:10].lower() == "$secret://"
    for part in conf.values() if isinstance(conf, dict) else conf if isinstance(conf, list) else ():
        if _managed(part):
            return True
    return False


def _names(conf: Any, field: str, id: str) -> bool:
    if isinstance(conf, dict):
        return any((name == field and str(each) == id) or _names(each, field, id) for name, each in conf.items())
    return isinstance(conf, list) and any(_names(each, field, id) for each in conf)


def _others(view: View, plugin: str, but: tuple[str, str]) -> Iterator[Value]:
    for kind in ("routes", "services", "plugin_configs", "consumer_groups", "global_rules", "consumers"):
        for id, value in view.all(kind):
            conf = (value.get("plugins") or {}).get(plugin)
            if conf is not None and (kind, id) != but:
                yield conf
