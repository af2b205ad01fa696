"""What all writers of streams have in common: which piece goes where, in whose turn, and what is kept for the end.

Rule 1: nothing is written after the end or a failure.
Rule 2: usage and the reasons to stop may come before their time: the last usage and all reasons are kept, and each dialect
        says them where it has the place.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    End,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
    Ping,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.translation import Identity
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.in_turn import InTurn

Words = TextStart | RefusalStart | ReasoningStart


class StreamWriter(ABC):
    """Writes one stream. Feed it all pieces in their order; each method gives the bytes that its piece becomes.

    `in_turn`: blocks that come interleaved are put one after the other, for dialects in which one is open at a time.
    """

    dialect: str
    """Whose foreign pieces it has words for."""

    def __init__(self, identity: Identity, *, in_turn: bool) -> None:
        self._identity = identity
        self._passes = InTurn().passes if in_turn else None
        self._over = False
        self._reported: Reported | None = None
        self._finishes: list[Finish] = []
        self._writers: dict[type[Delta], Callable[[Any], bytes]] = {
            TextDelta: self._text,
            Start: self._begun,
            TextStart: self._words,
            RefusalStart: self._words,
            ReasoningStart: self._words,
            ToolStart: self._tool,
            Sealed: self._sealed,
            Cited: self._cited,
            BlockEnd: self._block_end,
            ForeignPiece: self._stranger,
            Finish: self._finish,
            UsageNoted: self._usage,
            Ping: self._ping,
            Failed: self._broken,
            End: self._ended,
        }

    def feed(self, deltas: list[Delta]) -> bytes:
        """See `core.translation.Encoder`."""
        out = b""
        passes, writers = self._passes, self._writers
        for delta in deltas:
            if self._over:
                break
            if passes is None or (ready := passes(delta)) is None:
                out += writers[type(delta)](delta)
            else:
                for one in ready:
                    out += writers[type(one)](one)
        return out

    # --- what every dialect says in its own way ---------------------------------------------------------------------

    @abstractmethod
    def _start(self, delta: Start) -> bytes: ...

    @abstractmethod
    def _words(self, start: Words) -> bytes:
        """A block of text, of a refusal or of reasoning begins."""

    @abstractmethod
    def _tool(self, start: ToolStart) -> bytes: ...

    @abstractmethod
    def _text(self, delta: TextDelta) -> bytes:
        """More of any block."""

    @abstractmethod
    def _block_end(self, delta: BlockEnd) -> bytes: ...

    @abstractmethod
    def _failed(self, failure: Failure) -> bytes: ...

    @abstractmethod
    def _end(self) -> bytes: ...

    # --- what not every dialect has words for -----------------------------------------------------------------------

    def _sealed(self, delta: Sealed) -> bytes:
        return b""

    def _cited(self, delta: Cited) -> bytes:
        return b""

    def _foreign(self, delta: ForeignPiece) -> bytes:
        """A piece of this dialect's own."""
        return b""

    def _ping(self, delta: Ping) -> bytes:
        return b""

    # --- what is kept -----------------------------------------------------------------------------------------------

    def _begun(self, delta: Start) -> bytes:
        self._reported = delta.usage
        return self._start(delta)

    def _stranger(self, delta: ForeignPiece) -> bytes:
        return self._foreign(delta) if delta.dialect == self.dialect else b""

    def _finish(self, delta: Finish) -> bytes:
        self._finishes.append(delta)
        return b""

    @property
    def _stop(self) -> Finish:
        """Why the only choice ended."""
        return self._finishes[-1] if self._finishes else Finish("end")

    def _usage(self, delta: UsageNoted) -> bytes:
        self._reported = delta.reported
        return b""

    def _broken(self, delta: Failed) -> bytes:
        self._over = True
        return self._failed(delta.failure)

    def _ended(self, delta: End) -> bytes:
        self._over = True
        return self._end()
