"""limit-conn: so many requests at one time, for each key; a few more are delayed."""

import asyncio
from collections import Counter
from typing import ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.limit_keys import KEY_TYPE, POLICY, REJECTION, key_reader, names_any, number_of, rejected
from tollkeeper.routes.plugin import Plugin
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
            "policy": POLICY,
            **REJECTION,
            "allow_degradation": {"type": "boolean", "default": False},
        },
        "required": ["default_conn_delay"],
        "oneOf": [{"required": ["conn", "burst", "key"]}, {"required": ["rules"]}],
    }

    def prepare(self) -> None:
        self._under_way: Counter[str] = Counter()
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
            now = self._under_way[key] + 1
            if now > conn + burst:
                return rejected(conf)
            self._under_way[key] = now
            taken.append(key)
            if now > conn:
                longest = max(longest, (now - 1) // conn * self._delay)
        if longest:
            await asyncio.sleep(longest)
        return None

    def log(self, exchange: Exchange) -> None:
        noted = exchange.notes.pop(self, None)
        if noted is None:
            return
        taken, began = noted
        for key in taken:
            self._under_way[key] -= 1
            if self._under_way[key] <= 0:
                del self._under_way[key]
        if taken and not self.conf["only_use_default_delay"]:
            # What a request takes is what the next has to wait for its turn.
            self._delay += (self.gate.monotonic() - began - self._delay) * _SMOOTHING
