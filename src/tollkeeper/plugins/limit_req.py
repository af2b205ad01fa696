"""limit-req: so many requests a second, for each key; what comes a little too fast is delayed."""

import asyncio
from typing import ClassVar

from tollkeeper.core.leaky import LeakyBuckets
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import KEY_TYPE, POLICY, REJECTION, key_of, rejected
from tollkeeper.routes.plugin import Plugin


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
            "policy": POLICY,
            **REJECTION,
            "nodelay": {"type": "boolean", "default": False},
            "allow_degradation": {"type": "boolean", "default": False},
        },
        "required": ["rate", "burst", "key"],
    }

    def prepare(self) -> None:
        self._buckets = LeakyBuckets(self.conf["rate"], self.conf["burst"], self.gate.room.counters)

    async def access(self, exchange: Exchange) -> Response | None:
        wait = self._buckets.take(key_of(self.conf, exchange), self.gate.monotonic())
        if wait is None:
            return rejected(self.conf)
        if wait >= 0.001 and not self.conf["nodelay"]:
            await asyncio.sleep(wait)
        return None
