"""Counters of requests in windows of time that several gates share, in Redis: fixed windows, one step each, atomic."""

from collections.abc import Mapping
from typing import Any

from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.redis_client import Answer, Place, Redis, RedisError, Resolve

_TAKE = """
local left = redis.call('PTTL', KEYS[1])
local used = 0
if left < 0 then left = tonumber(ARGV[2]) else used = tonumber(redis.call('GET', KEYS[1])) end
local fits = used + tonumber(ARGV[3]) <= tonumber(ARGV[1])
if fits then
  used = used + tonumber(ARGV[3])
  redis.call('SET', KEYS[1], used, 'PX', left)
end
return {fits and 1 or 0, used, left}
"""
"""One key: (most, milliseconds of a new window, cost) -> whether it fits, what is used, milliseconds until it ends."""
FIELDS: Schema = {
    "policy": {"type": "string", "enum": ["local", "redis"], "default": "local"},
    "redis_host": {"type": "string", "minLength": 2},
    "redis_port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 6379},
    "redis_username": {"type": "string", "minLength": 1},
    "redis_password": {"type": "string"},
    "redis_database": {"type": "integer", "minimum": 0, "default": 0},
    "redis_timeout": {"type": "integer", "minimum": 1, "default": 1000},
    "redis_ssl": {"type": "boolean", "default": False},
    "redis_ssl_verify": {"type": "boolean", "default": False},
}
"""As APISIX's plugins have them; milliseconds."""


def check(conf: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong that no schema can say."""
    if conf.get("policy") == "redis" and "redis_host" not in conf:
        raise ValueError('property "redis_host" is required')


def place_of(conf: Mapping[str, Any]) -> Place:
    """Where a plugin's counters are."""
    return Place(
        host=conf["redis_host"],
        port=conf["redis_port"],
        username=conf.get("redis_username"),
        password=conf.get("redis_password"),
        database=conf["redis_database"],
        tls=conf["redis_ssl"],
        verify=conf["redis_ssl_verify"],
        seconds=conf["redis_timeout"] / 1000,
    )


class SharedWindows:
    """As `core.counters.Windows`, for every gate that asks the same server."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, key: str, count: int, seconds: float, cost: int = 1) -> tuple[bool, int, float]:
        """Whether `cost` fits within `count` per window; how much is left; seconds until it ends. Raises RedisError.

        Nothing is taken where it does not fit.
        """
        found: Answer = await self._redis.run("EVAL", _TAKE, 1, key, count, max(1, round(seconds * 1000)), cost)
        if not isinstance(found, list) or len(found) != 3 or not all(isinstance(each, int) for each in found):
            raise RedisError("Redis answers something else than was asked for.")
        fits, used, left = (each for each in found if isinstance(each, int))
        return bool(fits), max(count - used, 0), left / 1000


def shared(conf: Mapping[str, Any], known: dict[object, Any], resolve: Resolve) -> SharedWindows:
    """The counters at the place that `conf` names; `known` has one client for each place."""
    place = place_of(conf)
    redis: Redis = known.setdefault(place, Redis(place, resolve))
    return SharedWindows(redis)
