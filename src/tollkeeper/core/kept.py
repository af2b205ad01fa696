"""An answer that is kept in memory in order to be given again."""

from msgspec import Struct

_OF_A_PIECE = 48
_OF_AN_ANSWER = 600
"""Bytes that CPython takes for a bytes object and its place in a tuple; and for all of an answer's small objects."""


class Kept(Struct, frozen=True, kw_only=True):
    """One whole answer. Of the request there is a hash, nothing else."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """The provider's own and the gate's, less what was true of the first answer only."""
    pieces: tuple[bytes, ...] | None
    """The body in the cuts in which it came; None: it was too large to keep."""
    streamed: bool
    provider: str
    model: str | None
    model_used: str | None
    cost_nano: int
    """Nano-USD that it cost when it was made; 0 where that is unknown."""
    at: float
    """Monotonic seconds at which it was whole."""
    request: bytes = b""
    """The request's fingerprint, where another request may come under the same name."""

    @property
    def size(self) -> int:
        """Bytes of memory, near enough to bound it."""
        pieces = self.pieces or ()
        return (
            sum(map(len, pieces))
            + _OF_A_PIECE * len(pieces)
            + sum(len(name) + len(value) for name, value in self.headers)
            + _OF_AN_ANSWER
        )
