"""A call that comes whole is one block, with its arguments where it has any."""

from tollkeeper.core.deltas import BlockEnd, TextDelta, ToolStart
from tollkeeper.dialects.whole_calls import whole_call

START = ToolStart(3, "call_1", "weather")


def test_a_whole_call_is_one_block() -> None:
    assert whole_call(START, '{"x":1}') == (START, TextDelta(3, '{"x":1}'), BlockEnd(3))


def test_a_call_without_arguments_says_none() -> None:
    assert whole_call(START, "") == (START, BlockEnd(3))
