"""An upstream: its nodes, how one is chosen, how long it is waited for, what it is told."""

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Any

from tollkeeper.core.account import Patience
from tollkeeper.core.hops import Hop, Pooling, Tls
from tollkeeper.routes import balancing
from tollkeeper.routes.exchange import Exchange, host_without_port
from tollkeeper.routes.nodes import Node, nodes_of
from tollkeeper.routes.variables import filled

_NEVER = 365 * 86400.0
_SECONDS = 60.0
_SECURE = ("https", "grpcs")


class Upstream:
    """Made anew when its configuration changes; counts and health of its nodes go with it."""

    def __init__(self, name: str, conf: Mapping[str, Any], random: Random, monotonic: Callable[[], float]) -> None:
        self.name = name
        """As health reports call it: /apisix/upstreams/1, /apisix/routes/1."""
        self.conf = conf
        self.nodes = nodes_of(conf)
        usable = [node for node in self.nodes if node.weight > 0]
        priorities = sorted({node.priority for node in usable}, reverse=True)
        self._tiers = [[node for node in usable if node.priority == priority] for priority in priorities]
        self.retries = int(conf.get("retries", max(len(usable) - 1, 0)))
        self.retry_timeout = float(conf.get("retry_timeout", 0))
        self.scheme: str = conf.get("scheme", "http")
        self.checks: Mapping[str, Any] | None = conf.get("checks")
        self.timeouts = timeouts_of(conf.get("timeout"))
        self.host_from: str = conf.get("pass_host", "pass")
        """pass, node or rewrite: where the Host header comes from."""
        self._host: bytes = conf.get("upstream_host", "").encode("latin-1", "replace")
        pool = conf.get("keepalive_pool", {})
        self._pooling = Pooling(
            size=int(pool.get("size", 320)),
            idle=float(pool.get("idle_timeout", 60)),
            requests=int(pool.get("requests", 1000)),
        )
        self._tls: Mapping[str, Any] = conf.get("tls", {})
        self._hops: dict[tuple[str, str], Hop] = {}
        self._rings: dict[int, balancing.Ring] = {}
        self._hash_on: str = conf.get("hash_on", "vars")
        self._key: str = conf.get("key", "")
        kind = conf.get("type", "roundrobin")
        self._hashed = kind == "chash"
        self.by_latency = kind == "ewma"
        """Whether it goes by what its nodes' answers take."""
        if kind == "least_conn":
            self._pick: balancing.Pick = balancing.least_connections
        elif kind == "ewma":
            self._pick = balancing.by_latency(random, monotonic)
        else:
            self._pick = balancing.round_robin

    def choose(self, exchange: Exchange, tried: Collection[Node]) -> Node | None:
        """The next node: a healthy one while there is any, of the highest priority that has one left; None after all."""
        for only_healthy in (True, False):
            for tier, nodes in enumerate(self._tiers):
                if tried or self.checks is not None:
                    left = [each for each in nodes if each not in tried and (each.healthy or not only_healthy)]
                else:
                    left = nodes
                if left:
                    if self._hashed:
                        ring = self._rings.get(tier)
                        if ring is None:
                            ring = self._rings[tier] = balancing.Ring(nodes)
                        return ring.pick(left, self._hashed_value(exchange))
                    return self._pick(left, "")
        return None

    def host_for(self, node: Node, exchange: Exchange) -> bytes:
        """The Host header that goes upstream."""
        if exchange.host is not None:
            return exchange.host
        if self.host_from == "rewrite":
            return self._host
        if self.host_from == "node":
            return (node.host if node.port in (80, 443) else node.name).encode("latin-1", "replace")
        return exchange.request.headers.get(b"host") or node.name.encode("latin-1", "replace")

    def hop_to(self, node: Node, host: bytes) -> Hop:
        """How this node is reached, when it is told `host`."""
        if self.scheme not in _SECURE:
            key = (node.name, "")
        else:
            name = host_without_port(self._host) if self.host_from == "rewrite" else node.host
            if name.replace(".", "").isdigit() or ":" in name:
                name = host_without_port(host) or name
            key = (node.name, name)
        hop = self._hops.get(key)
        if hop is None:
            tls = None
            if self.scheme in _SECURE:
                tls = Tls(
                    name=key[1],
                    verify=self._tls.get("verify", True),
                    certificate=self._tls.get("client_cert"),
                    key=self._tls.get("client_key"),
                )
            if len(self._hops) > 1024:  # names of TLS hosts come from clients
                self._hops.clear()
            hop = self._hops[key] = Hop(node.host, node.port, tls, self._pooling)
        return hop

    def _hashed_value(self, exchange: Exchange) -> str:
        found: str | None
        if self._hash_on == "header":
            found = exchange.var("http_" + self._key.removeprefix("http_").replace("-", "_"))
        elif self._hash_on == "cookie":
            found = exchange.var("cookie_" + self._key.removeprefix("cookie_"))
        elif self._hash_on == "consumer":
            found = exchange.var("consumer_name")
        elif self._hash_on == "vars_combinations":
            found = filled(self._key, exchange)
        else:
            found = exchange.var(self._key)
        return found or exchange.request.client


def timeouts_of(given: Mapping[str, Any] | None) -> Patience:
    """Seconds to connect, to send and to wait for bytes, 60 each where nothing is said."""
    if given is None:
        return Patience(connect=_SECONDS, send=_SECONDS, first_byte=_SECONDS, idle=_SECONDS, total=_NEVER)
    connect, send, read = (float(given[each]) for each in ("connect", "send", "read"))
    return Patience(connect=connect, send=send, first_byte=read, idle=read, total=_NEVER)
