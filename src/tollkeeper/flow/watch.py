"""A running stream against what is held for it: when it has used that up, more is held, or it is stopped.

What is held is known in tokens; what passes is bytes. So the bytes that the rest of the tokens must fill are counted down,
one subtraction and one comparison for a chunk, and only then tokens are estimated, from below: nobody is stopped who has
not used what was held.
"""

from tollkeeper.core.ports import EventReader, Reservation

_LEAST = 2048
"""Bytes between two looks, at least: some ten events."""
_SPARSE = 3
"""Bytes of text to an event below which an event is less than a token: some servers send letter by letter."""
_LONGEST = 10
"""Bytes of text that a token has at most, over a whole answer."""


class Watch:
    """One stream's. `left` is counted down by the bytes that pass; below zero, `look`."""

    __slots__ = ("_granted", "_passed", "left", "reservation", "spent")

    def __init__(self, reservation: Reservation, begun: int) -> None:
        self.reservation = reservation
        self._passed = begun
        self.left = self._granted = _SPARSE * reservation.output_tokens - begun
        self.spent = False
        """Whether the stream must be stopped."""

    def look(self, seen: int, reader: EventReader) -> bool:
        """Whether the stream may go on, with `seen` events so far."""
        self._passed += self._granted - self.left
        used = _used(seen, reader)
        reservation = self.reservation
        if used > reservation.output_tokens and not reservation.grow(used):
            self.spent = True
            return False
        for_each = max(_SPARSE, self._passed // used) if used else _SPARSE
        self.left = self._granted = max(_LEAST, (reservation.output_tokens - used) * for_each // 2)
        return True


def _used(seen: int, reader: EventReader) -> int:
    """Output tokens so far: what the provider has reported, or at least what the text must be."""
    size = len(reader.delivered().encode("utf-8", "replace"))
    at_least = max(min(seen, size // _SPARSE), size // _LONGEST)
    return at_least if reader.reported is None else max(at_least, reader.reported.usage.output_tokens)
