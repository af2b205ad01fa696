"""The nodes of an upstream: where they are, what they weigh, how they fare."""

import math
from collections.abc import Mapping
from typing import Any

DEFAULT_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_DECAY = 10.0
"""Seconds after which an old latency counts a third (APISIX: balancer/ewma.lua, DECAY_TIME)."""


class Node:
    """One host and port."""

    __slots__ = (
        "_latency",
        "_latency_at",
        "active",
        "current",
        "failures",
        "healthy",
        "host",
        "name",
        "port",
        "priority",
        "successes",
        "weight",
    )

    def __init__(self, host: str, port: int, weight: int, priority: int = 0) -> None:
        self.host = host
        self.port = port
        self.weight = weight
        self.priority = priority
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.current = 0
        """Of smooth weighted round robin."""
        self.active = 0
        """Requests under way."""
        self.healthy = True
        self.successes = 0
        self.failures: dict[str, int] = {}
        """In a row, by kind: http, tcp, timeout."""
        self._latency = 0.0
        self._latency_at = -math.inf

    def latency(self, now: float) -> float:
        """Seconds, decayed to `now`."""
        return self._latency * math.exp(-max(now - self._latency_at, 0.0) / _DECAY)

    def took(self, seconds: float, now: float) -> None:
        """One more request was answered."""
        weight = math.exp(-max(now - self._latency_at, 0.0) / _DECAY)
        self._latency = self._latency * weight + seconds * (1 - weight) if weight else seconds
        self._latency_at = now

    @property
    def state(self) -> str:
        """As APISIX's health check tells it."""
        if self.healthy:
            return "mostly_healthy" if self.failures else "healthy"
        return "mostly_unhealthy" if self.successes else "unhealthy"


def nodes_of(conf: Mapping[str, Any]) -> list[Node]:
    """The nodes of an upstream's configuration, in either of its forms. Nodes of weight 0 get nothing."""
    port = DEFAULT_PORTS.get(conf.get("scheme", "http"), 80)
    given = conf.get("nodes") or {}
    if isinstance(given, dict):
        found = []
        for name, weight in given.items():
            host, own = split(name)
            found.append(Node(host, own or port, int(weight)))
        return found
    return [
        Node(each["host"].strip("[]"), int(each.get("port") or port), int(each["weight"]), int(each.get("priority", 0)))
        for each in given
    ]


def split(name: str) -> tuple[str, int | None]:
    """`host:port`, `host` or `[v6]:port`. Raises ValueError where the port is none."""
    if name.startswith("["):
        host, _, rest = name[1:].partition("]")
        port = rest.removeprefix(":")
    elif name.count(":") > 1:
        host, port = name, ""
    else:
        host, _, port = name.partition(":")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"invalid port {port}")
    return host, int(port) if port else None
