"""Requests under way that several gates count together, in Redis; by the server's own clock."""

from tollkeeper.routes.redis_client import Keyed, RedisError

_ENTER = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local inside = redis.call('ZCARD', KEYS[1]) + 1
if inside > tonumber(ARGV[2]) then return -1 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return inside
"""
"""One key: (whose place, most, milliseconds) -> how many are inside, this one too; -1 where it is one too many.

Each has an end of its own: those of a gate that died do not stay for as long as others come.
"""


class SharedPlaces:
    """Who is inside, for every gate that asks the same server."""

    def __init__(self, redis: Keyed, seconds: float) -> None:
        """`seconds`: after so long one that nobody has let go counts no more."""
        self._redis = redis
        self._milliseconds = max(1, round(seconds * 1000))

    async def enter(self, key: str, who: str, most: float) -> int | None:
        """How many are inside with this one; None: it is one too many and has no place. Raises RedisError."""
        found = await self._redis.on(key, "EVAL", _ENTER, 1, key, who, repr(float(most)), self._milliseconds)
        if not isinstance(found, int):
            raise RedisError("Redis answers something else than was asked for.")
        return None if found < 0 else found

    async def leave(self, key: str, who: str) -> None:
        """Gives its place away, if it has one. Raises RedisError."""
        await self._redis.on(key, "ZREM", key, who)
