"""How much plugins may take of the gate: memory for counters and answers, time for patterns. Part of [routing]."""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.limits import Positive
from tollkeeper.core.patterns import PatternBounds

CACHE_ZONES: dict[str, Literal["memory", "disk"]] = {"memory_cache": "memory", "disk_cache_one": "disk"}
"""By name, the strategy of the zones that are there without being configured."""


class CacheZone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[routing.cache_zones.NAME]: where proxy-cache keeps answers."""

    bytes: Positive = 128 * 1024 * 1024
    """Of all its answers; the one used longest ago is forgotten first."""
    ttl: Positive = 300
    """Seconds for which an answer is kept where neither it nor the plugin says anything."""
    strategy: Literal["memory", "disk"] = "memory"
    """The `cache_strategy` of the plugins that may use it."""


class Room(Struct, frozen=True, kw_only=True):
    """What [routing] says of it."""

    read_body: Positive = 64 * 1024 * 1024
    """Bytes of a body that plugins may read as a whole; 413."""
    read_values: Positive = 500_000
    """Values of JSON, or elements and attributes of XML, that plugins read of a body; 413."""
    read_fields: Positive = 1000
    """Fields of a form that they read; 413."""
    counters: Positive = 100_000
    """Keys that each limit counts at one time; the one used longest ago is forgotten first."""
    cache_bytes: Positive = 128 * 1024 * 1024
    """Of the answers in each of the zones that are there without being configured."""
    cache_zones: dict[str, CacheZone] = {}
    patterns: PatternBounds = PatternBounds()

    def cache_zone(self, name: str) -> CacheZone | None:
        """The zone of that name; None where there is none."""
        strategy = CACHE_ZONES.get(name)
        if name in self.cache_zones or strategy is None:
            return self.cache_zones.get(name)
        return CacheZone(bytes=self.cache_bytes, strategy=strategy)
