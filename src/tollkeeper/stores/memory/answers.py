"""Kept answers in this process's memory: bounded in bytes and number, the one not used for longest goes first."""

from collections import OrderedDict

from tollkeeper.core.ids import Clock
from tollkeeper.core.kept import Kept

_OF_AN_ENTRY = 300
"""Bytes of the table's own for each answer."""


class MemoryAnswers:
    """Implements `core.ports.Answers`. Nothing of it outlives the process."""

    def __init__(self, monotonic: Clock, most_bytes: int, most: int | None = None) -> None:
        self.bytes = 0
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._most = most
        self._kept: OrderedDict[bytes, tuple[Kept, float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def bound(self, most_bytes: int, most: int | None = None) -> None:
        """Other bounds; what does not fit them any more goes."""
        self._most_bytes = most_bytes
        self._most = most
        self._shrink()

    async def get(self, name: bytes) -> Kept | None:
        found = self._kept.get(name)
        if found is None:
            return None
        answer, until, _ = found
        if self._monotonic() >= until:
            self._remove(name)
            return None
        self._kept.move_to_end(name)
        return answer

    def put(self, name: bytes, answer: Kept, ttl: float) -> None:
        self._remove(name)
        size = answer.size + _OF_AN_ENTRY
        if size > self._most_bytes:
            return
        self._kept[name] = (answer, self._monotonic() + ttl, size)
        self.bytes += size
        self._shrink()

    def _remove(self, name: bytes) -> None:
        found = self._kept.pop(name, None)
        if found is not None:
            self.bytes -= found[2]

    def _shrink(self) -> None:
        while self.bytes > self._most_bytes or (self._most is not None and len(self._kept) > self._most):
            _, (_, _, size) = self._kept.popitem(last=False)
            self.bytes -= size
