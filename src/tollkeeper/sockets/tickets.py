"""Tickets: a key's right to open one socket, soon. For browsers, which can set no header and must not hold a key."""

import base64
from collections.abc import Callable

from tollkeeper.core.ids import Clock, Randomness
from tollkeeper.core.keys import Key

PREFIX = "tt-"
MOST = 100_000
"""Unused at one time; the oldest go first."""


class MemoryTickets:
    """Implements `core.ports.Tickets`. A ticket outlives no restart."""

    def __init__(self, monotonic: Clock, randomness: Randomness, seconds: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._randomness = randomness
        self._seconds = seconds
        self._unused: dict[str, tuple[Key, float]] = {}

    async def issue(self, key: Key) -> tuple[str, float]:
        now, seconds = self._monotonic(), self._seconds()
        for ticket, (_, until) in list(self._unused.items())[:2]:  # in order of age: two go for each that comes
            if until < now or len(self._unused) >= MOST:
                del self._unused[ticket]
        ticket = PREFIX + base64.urlsafe_b64encode(self._randomness(24)).decode()
        self._unused[ticket] = (key, now + seconds)
        return ticket, seconds

    async def redeem(self, ticket: str) -> Key | None:
        key, until = self._unused.pop(ticket, (None, 0.0))
        return key if until >= self._monotonic() else None
