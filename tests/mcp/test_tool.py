"""How a tool is described to a chat client."""

from typing import Any

from tollkeeper.mcp.tool import Arguments, Tool


async def _run(arguments: Arguments) -> None: ...


def _described(**more: Any) -> dict[str, Any]:
    return Tool(name="t", title="T", description="Does.", takes={"type": "object"}, run=_run, **more).described()


def test_a_tool_that_says_nothing_of_itself_is_taken_for_one_that_changes_things_once() -> None:
    hints = _described()["annotations"]
    assert (hints["readOnlyHint"], hints["destructiveHint"], hints["idempotentHint"]) == (False, False, False)
    assert hints["openWorldHint"] is False


def test_reading_twice_is_reading_once() -> None:
    assert _described(reads=True)["annotations"]["idempotentHint"] is True


def test_a_result_without_a_schema_has_none() -> None:
    assert "outputSchema" not in _described()
    assert _described(gives={"type": "object"})["outputSchema"] == {"type": "object"}
