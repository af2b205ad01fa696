"""limit-req: so many requests a second, for each key; what comes a little too fast is delayed."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from tollkeeper.core.leaky import LeakyBuckets
from tollkeeper.routes import redis_policy
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import KEY_TYPE, REJECTION, key_reader, rejected
from tollkeeper.routes.plugin import Conf, Plugin
from tollkeeper.routes.redis_client import RedisError
from tollkeeper.routes.shared_buckets import SharedBuckets


class LimitReq(Plugin):
    """A leaky bucket: `rate` a second, up to `burst` above it wait their turn, the rest are refused."""

    priority = 1001
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "rate": {"type": "number", "exclusiveMinimum": 0},
            "burst": {"type": "number", "minimum": 0},
            "key": {"type": "string"},
            "key_type": KEY_TYPE,
            **redis_policy.FIELDS,
            **REJECTION,
            "nodelay": {"type": "boolean", "default": False},
            "allow_degradation": {"type": "boolean", "default": False},
        },
        "required": ["rate", "burst", "key"],
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        redis_policy.check(conf)

    def prepare(self) -> None:
        self._key = key_reader(self.conf)
        rate, burst = self.conf["rate"], self.conf["burst"]
        self._buckets = LeakyBuckets(rate, burst, self.gate.room.counters)
        redis = redis_policy.redis_of(self.conf, self.gate.shared, self.gate.resolve, self.gate.monotonic)
        self._shared = None if redis is None else SharedBuckets(redis, rate, burst)

    async def access(self, exchange: Exchange) -> Response | None:
        key = self._key(exchange)
        if self._shared is None:
            wait = self._buckets.take(key, self.gate.monotonic())
        else:
            try:
                wait = await self._shared.take(":".join(("limit-req", *self.owner, key)))
            except RedisError as error:
                self.gate.say("limit_req_failed", reason=error.message)
                return None if self.conf["allow_degradation"] else Response(500)
        if wait is None:
            return rejected(self.conf)
        if wait >= 0.001 and not self.conf["nodelay"]:
            await asyncio.sleep(wait)
        return None
