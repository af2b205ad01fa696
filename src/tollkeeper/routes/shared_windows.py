"""Counters of requests in windows of time that several gates share, in Redis: one step each, atomic."""

from tollkeeper.routes.redis_client import Keyed, RedisError

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

_SLIDE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local length, cost = tonumber(ARGV[2]), tonumber(ARGV[3])
local began = now - now % length
local known = redis.call('HMGET', KEYS[1], 'began', 'used', 'before')
local used, before = tonumber(known[2]) or 0, tonumber(known[3]) or 0
if known[1] and tonumber(known[1]) ~= began then
  before = tonumber(known[1]) == began - length and used or 0
  used = 0
end
local counted = used + before * (1 - (now - began) / length)
local fits = counted + cost <= tonumber(ARGV[1])
if fits then
  counted = counted + cost
  redis.call('HSET', KEYS[1], 'began', string.format('%.0f', began), 'used', used + cost, 'before', before)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', began + 2 * length - now))
end
return {fits and 1 or 0, math.ceil(counted), began + length - now}
"""
"""The same for a window that slides: the one before counts for as much of it as the sliding one still covers."""

_ANY = 2**53 - 1
"""More than Lua's numbers can count exactly."""


class SharedWindows:
    """As `core.counters.Windows`, for every gate that asks the same servers, and by their clock."""

    def __init__(self, redis: Keyed, *, sliding: bool = False) -> None:
        self.slides = sliding
        self._redis = redis

    async def take(self, key: str, count: int, seconds: float, cost: int = 1) -> tuple[bool, int, float]:
        """Whether `cost` fits within `count` per window; how much is left; seconds until it ends. Raises RedisError.

        Nothing is taken where it does not fit.
        """
        fits, used, left = await self._run(key, count, seconds, cost)
        return bool(fits), max(count - used, 0), left / 1000

    async def add(self, key: str, count: int, seconds: float, cost: int) -> tuple[int, float]:
        """Counts `cost` whatever the limit says: it has happened. The rest of what `take` gives. Raises RedisError."""
        _, used, left = await self._run(key, _ANY, seconds, cost)
        return max(count - used, 0), left / 1000

    async def _run(self, key: str, most: int, seconds: float, cost: int) -> tuple[int, int, int]:
        script = _SLIDE if self.slides else _TAKE
        found = await self._redis.on(key, "EVAL", script, 1, key, most, max(1, round(seconds * 1000)), cost)
        match found:
            case [int(fits), int(used), int(left)]:
                return fits, used, left
        raise RedisError("Redis answers something else than was asked for.")
