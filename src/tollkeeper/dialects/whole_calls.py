"""A tool's call that a provider sends whole, as the neutral pieces of one block."""

from tollkeeper.core.deltas import BlockEnd, Delta, TextDelta, ToolStart


def whole_call(start: ToolStart, arguments: str) -> tuple[Delta, ...]:
    """`arguments`: the text of a JSON object, empty where there are none."""
    end = BlockEnd(start.block)
    return (start, TextDelta(start.block, arguments), end) if arguments else (start, end)
