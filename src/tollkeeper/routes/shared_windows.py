"""Counters of requests in windows of time that several gates share, in Redis: fixed windows, one step each, atomic."""

from tollkeeper.routes.redis_client import Redis, RedisError

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


class SharedWindows:
    """As `core.counters.Windows`, for every gate that asks the same server."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, key: str, count: int, seconds: float, cost: int = 1) -> tuple[bool, int, float]:
        """Whether `cost` fits within `count` per window; how much is left; seconds until it ends. Raises RedisError.

        Nothing is taken where it does not fit.
        """
        found = await self._redis.run("EVAL", _TAKE, 1, key, count, max(1, round(seconds * 1000)), cost)
        if not isinstance(found, list) or len(found) != 3 or not all(isinstance(each, int) for each in found):
            raise RedisError("Redis answers something else than was asked for.")
        fits, used, left = (each for each in found if isinstance(each, int))
        return bool(fits), max(count - used, 0), left / 1000
