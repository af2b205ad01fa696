"""Request ids: UUIDv7 (RFC 9562), so that ids sort by time and the ledger only ever appends."""

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds; Unix time or monotonic, as the parameter's name says."""

Randomness = Callable[[int], bytes]
"""n -> n random bytes."""


class RequestIds:
    """Makes ids from a Unix clock and a source of randomness."""

    def __init__(self, now: Clock, randomness: Randomness) -> None:
        self._now = now
        self._randomness = randomness

    def __call__(self) -> str:
        """A UUIDv7 as 32 hex digits."""
        milliseconds = int(self._now() * 1000)
        random = int.from_bytes(self._randomness(10), "big")
        value = (
            milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
        )
        return f"{value:032x}"
