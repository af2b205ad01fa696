"""Puts the parts of this room together: one object behind the gate's door and the operators'."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from random import Random
from typing import Any

from tollkeeper.core.errors import CallerError, ConfigError
from tollkeeper.core.hops import Hops
from tollkeeper.core.ids import Clock
from tollkeeper.core.patterns import Patterns
from tollkeeper.core.ports import Handler, Keys, Outbound
from tollkeeper.core.revisions import Revisions
from tollkeeper.routes.administration import Actor, Administration, Desired
from tollkeeper.routes.checking import Checker
from tollkeeper.routes.drafts import Draft
from tollkeeper.routes.pipeline import Pipeline
from tollkeeper.routes.plugin import Surroundings
from tollkeeper.routes.proxying import Proxy
from tollkeeper.routes.registry import Registry
from tollkeeper.routes.room import Room
from tollkeeper.routes.table import Table
from tollkeeper.routes.traffic import Traffic
from tollkeeper.routes.upstreams import Upstream
from tollkeeper.routes.watching import Checks


class Routes:
    """Ordinary routes: what is configured, how requests go through it, and how it is changed."""

    def __init__(
        self,
        *,
        store: Revisions,
        registry: Registry,
        hops: Hops,
        outbound: Outbound,
        resolve: Callable[[str, int], Awaitable[Sequence[str]]],
        allowed: Callable[[str], bool],
        keys: Keys,
        handle: Handler,
        parameters: bool,
        most_proxies: int,
        room: Room,
        environment: Mapping[str, str],
        home: Path,
        random: Random,
        now: Clock,
        monotonic: Clock,
        say: Callable[..., None],
    ) -> None:
        self.registry = registry
        self.checks = Checks(hops, say)
        self.traffic = Traffic(self.checks.watched)
        """What requests to routes with the plugin prometheus came to."""
        self.shared: dict[object, Any] = {Traffic: self.traffic}
        """What plugins have in common; see `Surroundings.shared`."""
        patterns = Patterns(room.patterns, monotonic)
        self.table = Table(registry, random, monotonic, environment, patterns, parameters=parameters)
        proxy = Proxy(hops, self.checks, monotonic, most_proxies)
        self.pipeline = Pipeline(self.table, proxy, self._trouble, (now, monotonic))
        self.administration = Administration(store, Checker(registry, allowed), now, self.table.put, self.table.remove)
        self._say = say
        self.table.gate = Surroundings(
            room=room,
            patterns=patterns,
            now=now,
            monotonic=monotonic,
            random=random,
            home=home,
            say=say,
            outbound=outbound,
            keys=keys,
            handle=handle,
            consumers=self.table.consumers,
            consumer=self.table.consumer,
            metadata=self.table.metadata,
            upstream=self.table.upstream,
            watch=self.checks.begin,
            met=self.checks.met,
            resolve=resolve,
            shared=self.shared,
            resource=lambda kind, id: self.table.resources.get(kind, {}).get(id),
        )
        self.administration.reload()

    def configure(self, desired: Desired, where: Callable[[str], str]) -> None:
        """What the config file says of resources becomes so; what it said before and says no more is deleted.

        Raises ConfigError with everything that is wrong with it.
        """
        self.administration.commit(by_file(self.administration, desired, where), Actor("config", "config"), "config")

    async def close(self) -> None:
        """Ends the checks, the plugins, and what those have open."""
        self.table.close()
        await self.checks.close()
        for each in self.shared.values():
            close = getattr(each, "close", None)
            if iscoroutinefunction(close):
                await close()

    def _trouble(self, plugin: str, error: Exception) -> None:
        self._say("plugin_failed", plugin=plugin, error=type(error).__name__)


def by_file(administration: Administration, desired: Desired, where: Callable[[str], str]) -> Draft:
    """What the config file makes of the resources there are: checked, not committed.

    Raises ConfigError with everything that is wrong with it.
    """
    try:
        draft = administration.planned(desired, owned="config")
    except CallerError as error:
        raise ConfigError([f"routing: {error.message}"]) from None
    problems = draft.problems(administration.checker)
    if problems:
        raise ConfigError([f"{where(f'{kind}.{id}')}{kind}.{id}: {words}" for kind, id, words in problems])
    return draft


def described(upstream: Upstream) -> dict[str, Any]:
    """How the nodes of an upstream fare, as APISIX's control API tells it."""
    return {
        "name": upstream.name,
        "type": (upstream.checks or {}).get("active", {}).get("type", "http"),
        "nodes": [
            {
                "ip": node.host,
                "port": node.port,
                "status": node.state,
                "counter": {
                    "success": node.successes,
                    "http_failure": node.failures.get("http", 0),
                    "tcp_failure": node.failures.get("tcp", 0),
                    "timeout_failure": node.failures.get("timeout", 0),
                },
            }
            for node in upstream.nodes
        ],
    }
