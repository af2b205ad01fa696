"""Interleaved blocks come out one after the other, each whole, in the order in which they began."""

from itertools import pairwise

from hypothesis import given

from kit.properties import examples
from kit.streams import interleaved
from tollkeeper.core.deltas import (
    BlockEnd,
    Delta,
    Finish,
    ForeignPiece,
    TextDelta,
    TextStart,
    ToolStart,
)
from tollkeeper.dialects.in_turn import InTurn


def passed(deltas: list[Delta]) -> list[Delta]:
    order = InTurn()
    out: list[Delta] = []
    for delta in deltas:
        ready = order.passes(delta)
        out += [delta] if ready is None else ready
    return out


@examples(80)
@given(interleaved())
def test_one_block_is_open_at_a_time_and_nothing_is_lost(deltas: list[Delta]) -> None:
    out = passed(deltas)

    def of(found: list[Delta], block: int) -> list[Delta]:
        return [delta for delta in found if getattr(delta, "block", None) == block]

    numbers = [delta.block for delta in out if hasattr(delta, "block")]
    assert all(
        before == after or after not in numbers[: at + 1] for at, (before, after) in enumerate(pairwise(numbers))
    )
    for block in set(numbers):
        assert of(out, block) == of(deltas, block)
    assert len(out) == len(deltas)


def test_what_is_live_passes_at_once_and_a_finish_ends_all() -> None:
    first, second = TextStart(0), ToolStart(1, "a", "f")
    order = InTurn()

    assert order.passes(first) is None
    assert order.passes(TextDelta(0, "x")) is None
    assert order.passes(second) == []
    assert order.passes(TextDelta(1, "{}")) == []
    assert order.passes(ForeignPiece("d", b"{}")) == []
    assert order.passes(Finish("end")) == [
        BlockEnd(0),
        second,
        TextDelta(1, "{}"),
        BlockEnd(1),
        ForeignPiece("d", b"{}"),
        Finish("end"),
    ]


def test_other_choices_do_not_pass() -> None:
    assert passed([TextStart(0, 1), TextDelta(0, "x"), BlockEnd(0), Finish("end", None, 1)]) == []
