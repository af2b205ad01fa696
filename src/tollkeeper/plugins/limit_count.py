"""limit-count: so many requests in a window of time, for each key."""

import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from tollkeeper.core.counters import Windows
from tollkeeper.routes import redis_policy
from tollkeeper.routes.delayed_windows import DelayedWindows
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema, with_defaults
from tollkeeper.routes.limit_keys import (
    HEADER,
    KEY_TYPE,
    NUMBER,
    REJECTION,
    RULES,
    key_reader,
    names_any,
    number_of,
    rejected,
)
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.redis_client import RedisError
from tollkeeper.routes.shared_windows import SharedWindows
from tollkeeper.routes.variables import filled

_MOST_PREFIXES = 100
_AT_ONCE, _SHORTEST = -1, 0.1
"""`sync_interval`: Redis is asked for each request, or this many seconds after one at least."""
_NAMES = (
    ("limit_header", "X-RateLimit-Limit"),
    ("remaining_header", "X-RateLimit-Remaining"),
    ("reset_header", "X-RateLimit-Reset"),
)


class LimitCount(Plugin):
    """One count and window, or several rules of which all must hold. A group's routes share one counter."""

    priority = 1002
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "count": NUMBER,
            "time_window": NUMBER,
            "rules": RULES,
            "window_type": {"type": "string", "enum": ["fixed", "sliding"], "default": "fixed"},
            "group": {"type": "string"},
            "key": {"type": "string", "default": "remote_addr"},
            "key_type": KEY_TYPE,
            **REJECTION,
            **redis_policy.FIELDS,
            "sync_interval": {"type": "number", "default": -1},
            "allow_degradation": {"type": "boolean", "default": False},
            "show_limit_quota_header": {"type": "boolean", "default": True},
        },
        "oneOf": [{"required": ["count", "time_window"]}, {"required": ["rules"]}],
    }
    metadata_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            name: {"type": "string", "minLength": 1, "pattern": HEADER, "default": default} for name, default in _NAMES
        },
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        redis_policy.check(conf)
        interval = conf["sync_interval"]
        if interval != _AT_ONCE:
            if interval < _SHORTEST:
                raise ValueError(f"sync_interval should not be smaller than {_SHORTEST}")
            windows = [each["time_window"] for each in conf.get("rules", (conf,))]
            if any(isinstance(window, int) and interval > window for window in windows):
                raise ValueError("sync_interval should be smaller than time_window")
        if "group" in conf:
            for other in others:
                theirs = with_defaults({name: value for name, value in other.items() if name != "_meta"}, cls.schema)
                if other.get("group") == conf["group"] and theirs != with_defaults(dict(conf), cls.schema):
                    raise ValueError("group conf mismatched")
        keys: set[str] = set()
        for rule in conf.get("rules", ()):
            if rule["key"] in keys:
                raise ValueError(f"duplicate key '{rule['key']}' in rules")
            keys.add(rule["key"])

    def prepare(self) -> None:
        self._headers: dict[str, tuple[bytes, ...]] = {}
        self._metadata: Mapping[str, Any] | None = None
        self._shows: bool = self.conf["show_limit_quota_header"]
        self._key = key_reader(self.conf)
        count, window = self.conf.get("count"), self.conf.get("time_window")
        self._fixed = (count, window) if isinstance(count, int) and isinstance(window, int) else None
        sliding = self.conf["window_type"] == "sliding"
        group = self.conf.get("group")
        content = repr(sorted((name, value) for name, value in self.conf.items()))
        most = self.gate.room.counters
        if group is None:
            self._windows = Windows(sliding=sliding, most=most)
        else:
            made = Windows(sliding=sliding, most=most)
            self._windows = self.gate.shared.setdefault(("limit-count", group, content), made)
        redis = redis_policy.redis_of(self.conf, self.gate.shared, self.gate.resolve, self.gate.monotonic)
        self._shared: SharedWindows | DelayedWindows | None = None
        if redis is not None:
            self._shared = SharedWindows(redis, sliding=sliding)
            interval = self.conf["sync_interval"]
            if interval != _AT_ONCE:
                self._shared = DelayedWindows(self._shared, interval, self.gate.monotonic, most, self._failed)
        # What changes the configuration begins to count anew, for all gates that have it.
        self._content = sha256(content.encode()).hexdigest()[:16]

    def access(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        if self._shared is not None:
            return self._share(exchange, self._shared)
        if self._fixed is not None:
            return self._take(exchange, *self._fixed, self._key(exchange), "")
        limits = self._limits(exchange)
        for limit in limits:
            refused = self._take(exchange, *limit)
            if refused is not None:
                return refused
        return self._unlimited() if not limits else None

    def _failed(self, reason: str) -> None:
        self.gate.say("limit_count_failed", reason=reason)

    async def _share(self, exchange: Exchange, shared: SharedWindows | DelayedWindows) -> Response | None:
        owner = (self.conf["group"],) if "group" in self.conf else self.owner
        before = ":".join(("limit-count", *owner, self._content))
        limits = self._limits(exchange)
        for count, window, key, prefix in limits:
            try:
                found = await shared.take(f"{before}:{key}", int(count), window)
            except RedisError as error:
                self._failed(error.message)
                return None if self.conf["allow_degradation"] else Response(500)
            refused = self._taken(exchange, count, prefix, *found)
            if refused is not None:
                return refused
        return self._unlimited() if not limits else None

    def _unlimited(self) -> Response | None:
        """What is limited by variables, of which this request has none."""
        return None if self.conf["allow_degradation"] else Response(500)

    def _limits(self, exchange: Exchange) -> Sequence[tuple[float, float, str, str]]:
        """(count, window, key, prefix of headers) of all that hold for a request."""
        conf = self.conf
        if "rules" not in conf:
            count, window = number_of(conf["count"], exchange), number_of(conf["time_window"], exchange)
            return () if count is None or window is None else ((count, window, self._key(exchange), ""),)
        found = []
        for place, rule in enumerate(conf["rules"], 1):
            count, window = number_of(rule["count"], exchange), number_of(rule["time_window"], exchange)
            if count is None or window is None or not names_any(rule["key"], exchange):
                continue
            key = f"{place}:{filled(rule['key'], exchange)}"
            found.append((count, window, key, rule.get("header_prefix", str(place))))
        return found

    def header_filter(self, exchange: Exchange) -> None:
        told = exchange.notes.get(self)
        if told and exchange.response is not None:
            exchange.response.headers.put(told)

    def _take(self, exchange: Exchange, count: float, window: float, key: str, prefix: str) -> Response | None:
        found = self._windows.take(key, int(count), window, self.gate.monotonic())
        return self._taken(exchange, count, prefix, *found)

    def _taken(
        self, exchange: Exchange, count: float, prefix: str, passes: bool, left: int, reset: float
    ) -> Response | None:
        if self._shows:
            limit, remaining, again = self._named(prefix)
            told = exchange.notes.setdefault(self, [])
            told += ((limit, b"%d" % count), (remaining, b"%d" % left), (again, b"%d" % math.ceil(reset)))
        return None if passes else rejected(self.conf)

    def _named(self, prefix: str) -> tuple[bytes, ...]:
        metadata = self.gate.metadata("limit-count")
        if metadata is not self._metadata:
            self._metadata = metadata
            self._headers.clear()
        known = self._headers.get(prefix)
        if known is not None:
            return known
        names: list[bytes] = []
        for field, default in _NAMES:
            name = metadata.get(field, default)
            if prefix:
                name = "X-" + prefix + "-" + name.removeprefix("X-").removeprefix("x-")
            names.append(name.lower().encode("latin-1", "replace"))
        found = tuple(names)
        if len(self._headers) < _MOST_PREFIXES:
            self._headers[prefix] = found
        return found
