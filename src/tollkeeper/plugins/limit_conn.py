"""limit-conn: so many requests at one time, for each key; a few more are delayed."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.routes import redis_policy
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import KEY_TYPE, REJECTION, key_reader, names_any, number_of, rejected
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.redis_client import RedisError
from tollkeeper.routes.shared_places import SharedPlaces
from tollkeeper.routes.variables import filled

_WHOLE: Schema = {"oneOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}
_BURST: Schema = {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}
_SMOOTHING = 0.5


class LimitConn(Plugin):
    """`conn` at one time pass at once, `burst` more after a delay, the rest are refused."""

    priority = 1003
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "conn": _WHOLE,
            "burst": _BURST,
            "default_conn_delay": {"type": "number", "exclusiveMinimum": 0},
            "only_use_default_delay": {"type": "boolean", "default": False},
            "key": {"type": "string"},
            "key_type": KEY_TYPE,
            "rules": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"conn": _WHOLE, "burst": _BURST, "key": {"type": "string"}},
                    "required": ["conn", "burst", "key"],
                },
            },
            **redis_policy.FIELDS,
            "key_ttl": {"type": "integer", "minimum": 1, "default": 3600},
            **REJECTION,
            "allow_degradation": {"type": "boolean", "default": False},
        },
        "required": ["default_conn_delay"],
        "oneOf": [{"required": ["conn", "burst", "key"]}, {"required": ["rules"]}],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        redis_policy.check(conf)

    def prepare(self) -> None:
        self._under_way: Counter[str] = Counter()
        redis = redis_policy.redis_of(self.conf, self.gate.shared, self.gate.resolve, self.gate.monotonic)
        self._shared = None if redis is None else SharedPlaces(redis, self.conf["key_ttl"])
        self._leaving: set[asyncio.Task[None]] = set()
        self._delay: float = self.conf["default_conn_delay"]
        if "rules" not in self.conf:
            self._key = key_reader(self.conf)

    async def access(self, exchange: Exchange) -> Response | None:
        conf = self.conf
        if "rules" not in conf:
            limits = [(self._key(exchange), conf["conn"], conf["burst"])]
        else:
            limits = [
                (f"{place}:{filled(rule['key'], exchange)}", rule["conn"], rule["burst"])
                for place, rule in enumerate(conf["rules"])
                if names_any(rule["key"], exchange)
            ]
        taken: list[str] = []
        exchange.notes[self] = (taken, self.gate.monotonic())
        longest = 0.0
        for key, conn_given, burst_given in limits:
            conn = number_of(conn_given, exchange)
            burst = 0.0 if burst_given == 0 else number_of(burst_given, exchange)
            if conn is None or burst is None:
                return None if conf["allow_degradation"] else Response(500)
            try:
                now = await self._entered(exchange, key, conn + burst, taken)
            except RedisError as error:
                self.gate.say("limit_conn_failed", reason=error.message)
                return None if conf["allow_degradation"] else Response(500)
            if now is None:
                return rejected(conf)
            if now > conn:
                longest = max(longest, (now - 1) // conn * self._delay)
        if longest:
            await asyncio.sleep(longest)
        return None

    async def _entered(self, exchange: Exchange, key: str, most: float, taken: list[str]) -> int | None:
        """How many there are with this one; None where it is one too many. Raises RedisError."""
        if self._shared is not None:
            taken.append(key)  # before it is known: what is not answered may have been done
            inside = await self._shared.enter(self._named(key), exchange.request_id, most)
            if inside is None:
                taken.remove(key)
            return inside
        now = self._under_way[key] + 1
        if now > most:
            return None
        self._under_way[key] = now
        taken.append(key)
        return now

    def _named(self, key: str) -> str:
        return ":".join(("limit-conn", *self.owner, key))

    def log(self, exchange: Exchange) -> None:
        noted = exchange.notes.pop(self, None)
        if noted is None:
            return
        taken, began = noted
        if not taken:
            return
        if self._shared is None:
            for key in taken:
                self._under_way[key] -= 1
                if self._under_way[key] <= 0:
                    del self._under_way[key]
        else:
            task = asyncio.get_running_loop().create_task(self._left(self._shared, exchange.request_id, taken))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        if not self.conf["only_use_default_delay"]:
            # What a request takes is what the next has to wait for its turn.
            self._delay += (self.gate.monotonic() - began - self._delay) * _SMOOTHING

    async def _left(self, shared: SharedPlaces, who: str, keys: list[str]) -> None:
        for key in keys:
            try:
                await shared.leave(self._named(key), who)
            except RedisError as error:  # then its place is free after key_ttl
                self.gate.say("limit_conn_failed", reason=error.message)
