"""Request ids: UUIDv7 (RFC 9562), so that ids sort by time and the ledger only ever appends."""

from collections.abc import Callable, Iterator
from struct import Struct

Clock = Callable[[], float]
"""Seconds; Unix time or monotonic, as the parameter's name says."""

Randomness = Callable[[int], bytes]
"""n -> n random bytes."""


_DRAW = 2560
"""Bytes of randomness drawn at a time: a system call for each id would cost as much as the rest of it."""


_halves = Struct(">QQ").pack
_parts = Struct(">HQ").iter_unpack


class RequestIds:
    """Makes ids from a Unix clock and a source of randomness."""

    def __init__(self, now: Clock, randomness: Randomness) -> None:
        self._now = now
        self._randomness = randomness
        self._drawn: Iterator[tuple[int, ...]] = iter(())

    def __call__(self) -> str:
        """A UUIDv7 as 32 hex digits."""
        random = next(self._drawn, None)
        if random is None:
            self._drawn = _parts(self._randomness(_DRAW))
            random = next(self._drawn)
        head = int(self._now() * 1000) << 16 | 0x7000 | random[0] & 0xFFF
        return _halves(head, 1 << 63 | random[1] >> 2).hex()
