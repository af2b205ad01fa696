"""Blocks that come interleaved, put one after the other, for dialects in which only one may be open at a time."""

from typing import Any

from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    Finish,
    ForeignPiece,
    ReasoningStart,
    RefusalStart,
    Sealed,
    TextDelta,
    TextStart,
    ToolStart,
)

_STARTS = (TextStart, ReasoningStart, RefusalStart, ToolStart)
_INSIDE = (Cited, Sealed)


class InTurn:
    """The oldest open block passes at once; what belongs to later ones waits until those before have ended.

    A block that nobody ended has ended at its choice's Finish. Pieces outside blocks pass at once, a Finish after all
    blocks. Only the first choice passes: whoever needs this knows only one.
    """

    def __init__(self) -> None:
        self._live: int | None = None
        self._waiting: dict[int, list[Delta]] = {}
        self._strangers = 0

    def passes(self, delta: Any) -> list[Delta] | None:
        """The pieces whose turn it is; None means just this one, which is the usual case and costs nothing."""
        kind = type(delta)
        if kind is TextDelta:
            if delta.block == self._live:
                return None
            return self._wait(delta)
        if kind in _STARTS:
            if delta.choice:
                return []
            if self._live is None:
                self._live = delta.block
                return None
            self._waiting[delta.block] = [delta]
            return []
        if kind is BlockEnd:
            if delta.block != self._live:
                return self._wait(delta)
            return self._next([delta])
        if kind is Finish:
            return self._finish(delta)
        if kind is ForeignPiece and self._live is not None:
            self._strangers -= 1
            self._waiting[self._strangers] = [delta]
            return []
        if kind in _INSIDE and delta.block != self._live:
            return self._wait(delta)
        return None

    def _wait(self, delta: Any) -> list[Delta]:
        waiting = self._waiting.get(delta.block)
        if waiting is not None:
            waiting.append(delta)
        return []

    def _next(self, out: list[Delta]) -> list[Delta]:
        """The block that was live has ended: those that waited follow, up to one that is still open."""
        self._live = None
        while self._waiting:
            block = next(iter(self._waiting))
            held = self._waiting.pop(block)
            out += held
            if not isinstance(held[-1], (BlockEnd, ForeignPiece)):
                self._live = block
                break
        return out

    def _finish(self, finish: Finish) -> list[Delta] | None:
        if finish.choice:
            return []
        if self._live is None:
            return None
        out: list[Delta] = []
        live: int | None = self._live
        while live is not None:
            out.append(BlockEnd(live))
            self._next(out)
            live = self._live
        out.append(finish)
        return out
