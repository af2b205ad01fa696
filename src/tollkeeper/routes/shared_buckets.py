"""Leaky buckets that several gates share, in Redis; by the server's own clock, so that theirs need not agree."""

from tollkeeper.routes.redis_client import Keyed, RedisError

_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'excess', 'at')
local excess = 0
if known[1] then
  excess = math.max(tonumber(known[1]) - rate * math.max(now - tonumber(known[2]), 0) / 1000 + 1, 0)
end
if excess > burst then return -1 end
local wait = math.floor(excess / rate * 1000)
redis.call('HSET', KEYS[1], 'excess', tostring(excess), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(wait + 1000 / rate + 1000, 1e12)))
return wait
"""
"""One key: (requests a second, burst) -> milliseconds that the request has to wait, -1 where it is refused."""


class SharedBuckets:
    """As `core.leaky.LeakyBuckets`, for every gate that asks the same server."""

    def __init__(self, redis: Keyed, rate: float, burst: float) -> None:
        self._redis = redis
        self._rate = rate
        self._burst = burst

    async def take(self, key: str) -> float | None:
        """Seconds that this request has to wait; None: it is refused and has taken nothing. Raises RedisError."""
        found = await self._redis.on(key, "EVAL", _TAKE, 1, key, repr(float(self._rate)), repr(float(self._burst)))
        if not isinstance(found, int):
            raise RedisError("Redis answers something else than was asked for.")
        return None if found < 0 else found / 1000
