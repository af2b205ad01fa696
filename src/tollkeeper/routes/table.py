"""What is configured, ready for requests: routes that can be found, their plugins, their upstreams; changed one by one.

Resources are given as APISIX's JSON, found valid before (checking.py). A change makes everything that is derived stale by
raising `generation`; it is derived again when a request needs it, so that a change costs the same with many routes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import GateError
from tollkeeper.core.patterns import Patterns
from tollkeeper.routes import expressions
from tollkeeper.routes.chains import NOTHING, Chain, Member, Step
from tollkeeper.routes.consumers import Consumer
from tollkeeper.routes.exchange import Exchange
from tollkeeper.routes.json_schema import with_defaults
from tollkeeper.routes.matching import Router
from tollkeeper.routes.plugin import Plugin, Surroundings
from tollkeeper.routes.registry import Registry
from tollkeeper.routes.secrets import NoSecret, resolved
from tollkeeper.routes.upstreams import Upstream, timeouts_of

Owner = tuple[str, str]
"""(kind, id) of the resource that configures something."""
Value = Mapping[str, Any]
_NONE: Mapping[str, Any] = MappingProxyType({})
Joined = tuple[Chain, tuple[Step, ...]]
"""A route's chain with a consumer's plugins in it, and what the consumer's own do in the phase rewrite."""


class Route:
    """One route, ready to be matched."""

    __slots__ = (
        "_addresses",
        "_derived",
        "_methods",
        "_vars",
        "hosts",
        "id",
        "name",
        "number",
        "paths",
        "priority",
        "reads_body",
        "service_id",
        "service_name",
        "timeouts",
        "value",
        "websocket",
    )

    def __init__(self, id: str, value: Value, service: Value, number: int, patterns: Patterns) -> None:
        self.id: str = id
        self.value = value
        self.number = number
        self.name: str | None = value.get("name")
        self.priority: int = value.get("priority", 0)
        service_id = value.get("service_id")
        self.service_id: str | None = None if service_id is None else str(service_id)
        self.service_name: str | None = service.get("name")
        self.paths: list[str] = value.get("uris") or [value["uri"]]
        host = value.get("host")
        self.hosts: list[str] = value.get("hosts") or ([host] if host else service.get("hosts", []))
        methods = value.get("methods")
        self._methods = frozenset(methods) if methods else None
        address = value.get("remote_addr")
        addresses = value.get("remote_addrs") or ([address] if address else None)
        self._addresses = expressions.addresses(addresses) if addresses else None
        rules = value.get("vars")
        self._vars = expressions.compiled(rules, patterns) if rules else None
        self.reads_body = bool(rules) and expressions.body_needed(rules)
        self.websocket = bool(value.get("enable_websocket", service.get("enable_websocket", False)))
        self.timeouts: Patience | None = timeouts_of(value["timeout"]) if "timeout" in value else None
        self._derived: tuple[int, Chain, Upstream | None, dict[str, Joined]] | None = None

    def fits(self, exchange: Exchange) -> bool:
        """Whether its methods, addresses and vars let the request in."""
        request = exchange.request
        if self._methods is not None and request.method not in self._methods:
            return False
        if self._addresses is not None and not self._addresses(request.client):
            return False
        return self._vars is None or self._vars(exchange)

    def offers(self, method: str, template: str) -> bool:
        """Whether requests for a path with {placeholders}, whatever stands at them, are among its own."""
        if self._methods is not None and method not in self._methods:
            return False
        literal, _, rest = template.partition("{")
        return any(
            literal.startswith(path[:-1]) if path.endswith("*") else not rest and path == template
            for path in self.paths
        )

    def host_of(self, host: str) -> str | None:
        """The pattern among its own that `host` was found by; None where it is for any host."""
        if host in self.hosts:
            return host
        fitting = [each for each in self.hosts if each.startswith("*") and host.endswith(each[1:].lower())]
        plain = next((each for each in self.hosts if each.lower() == host), None)
        return plain or max(fitting, key=len, default=None)

    def uri_of(self, path: str) -> str:
        """The pattern among its own that `path` was found by."""
        if len(self.paths) == 1 or path in self.paths:
            return path if path in self.paths else self.paths[0]
        fitting = [each for each in self.paths if each.endswith("*") and path.startswith(each[:-1])]
        return max(fitting, key=len, default=self.paths[0])


class Table:
    """All resources by kind and id, and what they come to."""

    def __init__(
        self,
        registry: Registry,
        random: Random,
        monotonic: Callable[[], float],
        environment: Mapping[str, str],
        patterns: Patterns,
        *,
        parameters: bool = False,
    ) -> None:
        self.generation = 0
        self.resources: dict[str, dict[str, Value]] = {}
        self.gate: Surroundings | None = None
        """Set once, before the first request."""
        self._registry = registry
        self._random = random
        self._patterns = patterns
        self._monotonic = monotonic
        self._environment = environment
        self._router = Router(parameters=parameters)
        self._routes: dict[str, Route] = {}
        self._of_service: dict[str, set[str]] = {}
        self._count = 0
        self._reading = 0
        self._plugins: dict[tuple[Owner, str], tuple[Value, Plugin]] = {}
        self._upstreams: dict[Owner, tuple[Value, Upstream]] = {}
        self._consumers: dict[str, dict[str, Consumer]] = {}
        self._consumers_of = -1
        self._global: tuple[int, Chain] = (-1, NOTHING)
        self._routes_with: dict[str, tuple[int, list[tuple[Route, Plugin, Chain]]]] = {}

    # --- changes ----------------------------------------------------------------------------------------------------

    def put(self, kind: str, id: str, value: Value) -> None:
        """A new resource, or another value for one."""
        self.generation += 1
        self.resources.setdefault(kind, {})[id] = value
        self._forget((kind, id), value)
        if kind == "routes":
            self._index(id, value)
        elif kind == "services":
            for route in list(self._of_service.get(id, ())):
                self._index(route, self.resources["routes"][route])

    def remove(self, kind: str, id: str) -> None:
        """The resource is gone."""
        if self.resources.get(kind, {}).pop(id, None) is None:
            return
        self.generation += 1
        self._forget((kind, id), {})
        if kind == "routes":
            self._unindex(id)
        elif kind == "services":
            for route in list(self._of_service.get(id, ())):
                self._index(route, self.resources["routes"][route])

    def _forget(self, owner: Owner, value: Value) -> None:
        """Plugins and upstreams whose configuration stays keep their counts; the others end."""
        plugins = value.get("plugins") or {}
        for key in [key for key in self._plugins if key[0] == owner] if self._plugins else ():
            if self._plugins[key][0] != plugins.get(key[1]):
                self._plugins.pop(key)[1].close()
        known = self._upstreams.get(owner)
        if known is not None and known[0] != (value if owner[0] == "upstreams" else value.get("upstream")):
            del self._upstreams[owner]

    def _index(self, id: str, value: Value) -> None:
        before = self._unindex(id)
        if value.get("status", 1) == 0:
            return
        service = self.resources.get("services", {}).get(str(value.get("service_id")), {})
        if before is None:
            self._count += 1
        route = Route(id, value, service, self._count if before is None else before, self._patterns)
        self._routes[id] = route
        self._reading += route.reads_body
        if route.service_id is not None:
            self._of_service.setdefault(route.service_id, set()).add(id)
        self._router.add(route, route.hosts, route.paths)

    def _unindex(self, id: str) -> int | None:
        route = self._routes.pop(id, None)
        if route is None:
            return None
        self._reading -= route.reads_body
        self._router.remove(route, route.hosts, route.paths)
        if route.service_id is not None:
            self._of_service[route.service_id].discard(id)
        return route.number

    # --- for requests -----------------------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether no request can meet anything here."""
        return not self._routes and not self.ruled

    @property
    def ruled(self) -> bool:
        """Whether there are global rules, which concern every request."""
        return bool(self.resources.get("global_rules"))

    @property
    def reads_bodies(self) -> bool:
        """Whether some route's rules look into bodies, which must then be read before a route is chosen."""
        return self._reading > 0

    def match(self, exchange: Exchange) -> bool:
        """Sets the exchange's route and parameters; False where there is none."""
        request = exchange.request
        found = self._router.find(exchange, request.host, request.path)
        if found is None:
            return False
        exchange.route = found[0]  # type: ignore[assignment]
        exchange.parameters = found[1]
        return True

    def routes_with(self, plugin: str) -> list[tuple[Route, Plugin, Chain]]:
        """The routes around which a plugin of that name is put, by their ids, with all that is put around each."""
        known = self._routes_with.get(plugin)
        if known is None or known[0] != self.generation:
            found: list[tuple[Route, Plugin, Chain]] = []
            for id in sorted(self._routes):
                route = self._routes[id]
                if not any(plugin in (value.get("plugins") or ()) for _, value in self._sources(route)):
                    continue
                try:
                    chain = self.derived(route)[0]
                except GateError:
                    continue
                found += [(route, each.plugin, chain) for each in chain.members if each.plugin.name == plugin]
            known = self._routes_with[plugin] = (self.generation, found)
        return known[1]

    def rules(self) -> Chain:
        """The plugins of all global rules. Raises GateError where one is gone."""
        if self._global[0] != self.generation:
            members = [
                member
                for id, value in self.resources.get("global_rules", {}).items()
                for member in self._members({}, [(("global_rules", id), value)])
            ]
            self._global = (self.generation, Chain(members) if members else NOTHING)
        return self._global[1]

    def derived(self, route: Route) -> tuple[Chain, Upstream | None]:
        """The route's plugins, merged with its plugin config's and its service's; and its upstream.

        Raises GateError where one of these is gone, or a plugin: without it the route might let in whom it was to keep out.
        """
        known = route._derived
        if known is None or known[0] != self.generation:
            self._whole(route)
            chain = Chain(self._members({}, list(self._sources(route))))
            known = route._derived = (self.generation, chain, self._upstream_of(route), {})
        return known[1], known[2]

    def with_consumer(self, route: Route | None, consumer: Consumer) -> Joined:
        """The chain with the consumer's plugins and its group's in it, and those steps of its rewriting that are theirs.

        Raises GateError where the group is gone.
        """
        if route is None:
            return self._joined(None, consumer)
        derived = route._derived
        if derived is None or derived[0] != self.generation:
            self.derived(route)
            derived = route._derived
            assert derived is not None
        known = derived[3]
        found = known.get(consumer.name)
        if found is None:
            found = known[consumer.name] = self._joined(route, consumer)
        return found

    def _joined(self, route: Route | None, consumer: Consumer) -> Joined:
        own: list[tuple[Owner, Value]] = [(("consumers", consumer.name), {"plugins": consumer.plugins})]
        group = self.resources.get("consumer_groups", {}).get(consumer.group_id or "")
        if group is not None:
            own.append((("consumer_groups", consumer.group_id or ""), group))
        elif consumer.group_id is not None:
            raise _gone("group of this consumer")
        names = {name for _, value in own for name in value.get("plugins") or {}}
        if not names:
            return (self.derived(route)[0] if route is not None else NOTHING), ()
        chain = Chain(self._members({}, own if route is None else [*own, *self._sources(route)]))
        return chain, tuple(step for step in chain.rewrite if step[0].plugin.name in names)

    def consumers(self, plugin: str) -> Mapping[str, Consumer]:
        """Those that configure `plugin`, by the value that names them there."""
        if self._consumers_of != self.generation:
            self._consumers = {}
            self._consumers_of = self.generation
        found = self._consumers.get(plugin)
        if found is None:
            found = self._consumers[plugin] = dict(self._found_consumers(plugin))
        return found

    def consumer(self, name: str) -> Consumer | None:
        """By its username."""
        value = self.resources.get("consumers", {}).get(name)
        return None if value is None else self._consumer(value, {})

    def metadata(self, plugin: str) -> Value:
        """What plugin_metadata says of it: the same object until that is changed."""
        return self.resources.get("plugin_metadata", _NONE).get(plugin, _NONE)

    def upstream(self, given: str | int | Value) -> Upstream | None:
        """The upstream of that id, or a new one for a configuration."""
        if isinstance(given, Mapping):
            return Upstream("inline", given, self._random, self._monotonic)
        value = self.resources.get("upstreams", {}).get(str(given))
        return None if value is None else self._upstream(("upstreams", str(given)), value)

    def upstreams(self) -> Iterator[Upstream]:
        """All that have been asked so far."""
        for _, upstream in self._upstreams.values():
            yield upstream

    def close(self) -> None:
        """Ends every plugin."""
        for _, plugin in self._plugins.values():
            plugin.close()
        self._plugins.clear()

    # --- derived ----------------------------------------------------------------------------------------------------

    def _whole(self, route: Route) -> None:
        """Raises GateError where the route refers to what is gone: deleted by force, or expired."""
        value: Value = route.value
        service: Value = {}
        if route.service_id is not None:
            found = self.resources.get("services", {}).get(route.service_id)
            if found is None:
                raise _gone("service of this route")
            service = found
        config = value.get("plugin_config_id")
        if config is not None and str(config) not in self.resources.get("plugin_configs", {}):
            raise _gone("plugin config of this route")
        for each in (value, service):
            if "upstream" in each:
                return
            if "upstream_id" in each:
                if str(each["upstream_id"]) not in self.resources.get("upstreams", {}):
                    raise GateError(
                        "The upstream of this route is gone.", status=502, code="route_incomplete", retryable=False
                    )
                return

    def _sources(self, route: Route) -> Iterator[tuple[Owner, Value]]:
        """Who configures plugins for a route; the earlier one wins."""
        yield ("routes", route.id), route.value
        config_id = route.value.get("plugin_config_id")
        config = self.resources.get("plugin_configs", {}).get(str(config_id))
        if config is not None:
            yield ("plugin_configs", str(config_id)), config
        service = self.resources.get("services", {}).get(route.service_id or "")
        if service is not None:
            yield ("services", route.service_id or ""), service

    def _members(self, seen: dict[str, None], sources: list[tuple[Owner, Value]]) -> list[Member]:
        members = []
        for owner, value in sources:
            for name, conf in (value.get("plugins") or {}).items():
                if name in seen:
                    continue
                seen[name] = None
                meta = conf.get("_meta", {})
                plugin_class = self._registry.get(name)
                if meta.get("disable"):
                    continue
                if plugin_class is None:
                    raise _gone(f"plugin '{name}' that is to run here")
                if owner[0] == "consumers" and plugin_class.kind == "auth":
                    continue
                rules = meta.get("filter")
                filter = expressions.compiled(rules, self._patterns) if rules else None
                plugin = self._plugin(owner, name, plugin_class, conf)
                members.append(Member(plugin, meta.get("priority"), filter, meta.get("error_response")))
        return members

    def _plugin(self, owner: Owner, name: str, plugin_class: type[Plugin], conf: Value) -> Plugin:
        known = self._plugins.get((owner, name))
        if known is not None and known[0] == conf:
            return known[1]
        assert self.gate is not None
        plain = {field: value for field, value in conf.items() if field != "_meta"}
        try:
            filled = with_defaults(resolved(plain, self._environment), plugin_class.schema)
        except NoSecret:
            raise _gone(f"secret of the plugin '{name}'") from None
        plugin = plugin_class(filled, self.gate)
        plugin.owner = owner
        self._plugins[owner, name] = (conf, plugin)
        return plugin

    def _upstream_of(self, route: Route) -> Upstream | None:
        service = self.resources.get("services", {}).get(route.service_id or "", {})
        for owner, value in ((("routes", route.id), route.value), (("services", route.service_id or ""), service)):
            if "upstream" in value:
                return self._upstream(owner, value["upstream"])
            if "upstream_id" in value:
                return self.upstream(str(value["upstream_id"]))
        return None

    def _upstream(self, owner: Owner, conf: Value) -> Upstream:
        known = self._upstreams.get(owner)
        if known is None or known[0] != conf:
            try:
                usable = resolved(conf, self._environment)
            except NoSecret:
                raise _gone("secret of this upstream") from None
            upstream = Upstream(f"/apisix/{owner[0]}/{owner[1]}", usable, self._random, self._monotonic)
            known = self._upstreams[owner] = (conf, upstream)
        return known[1]

    def _found_consumers(self, plugin: str) -> Iterator[tuple[str, Consumer]]:
        plugin_class = self._registry.get(plugin)
        if plugin_class is None or plugin_class.consumer_schema is None:
            return
        consumers = self.resources.get("consumers", {})
        credentials = self.resources.get("credentials", {})
        for value in consumers.values():
            conf = (value.get("plugins") or {}).get(plugin)
            if conf is not None:
                yield from self._credential(plugin_class, value, conf, None)
        for id, value in credentials.items():
            name, _, credential = id.partition("/")
            conf = (value.get("plugins") or {}).get(plugin)
            if conf is not None and name in consumers:
                yield from self._credential(plugin_class, consumers[name], conf, credential)

    def _credential(
        self, plugin_class: type[Plugin], value: Value, conf: Value, credential: str | None
    ) -> Iterator[tuple[str, Consumer]]:
        assert plugin_class.consumer_schema is not None
        try:
            filled = with_defaults(resolved(dict(conf), self._environment), plugin_class.consumer_schema)
        except NoSecret:
            return  # nobody can come in by what is not there
        key = filled.get(plugin_class.consumer_key)
        if isinstance(key, str):
            yield key, replace(self._consumer(value, filled), credential_id=credential)

    def _consumer(self, value: Value, credential: Value) -> Consumer:
        labels = value.get("labels", {})
        group = value.get("group_id")
        return Consumer(
            name=value["username"],
            credential=credential,
            group_id=None if group is None else str(group),
            custom_id=labels.get("custom_id"),
            labels=labels,
            plugins=value.get("plugins") or {},
        )


def _gone(what: str) -> GateError:
    return GateError(f"The {what} is gone.", status=503, code="route_incomplete", retryable=False)
