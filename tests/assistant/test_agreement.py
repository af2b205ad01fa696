"""What the user is asked before a tool is run, and what a yes would be to."""

import asyncio
from typing import Any

import pytest

from tollkeeper.assistant.agreement import Question, question_of
from tollkeeper.assistant.events import Plan
from tollkeeper.mcp.tool import Arguments, Refused, Tool

OURS = Plan("p1", "a greeting", "+ routes/hello\n    +{}")
DELETES = Plan("p2", "cleaning up", "- routes/hello\n    -{}")
FOREIGN = {"id": "p9", "what": "theirs", "difference": "~ routes/1", "effects": []}
REVISION = {
    "what": "a greeting",
    "difference": '+ routes/hello\n    +{\n    +  "a": "- b"\n    +}\n~ routes/1\n    -1\n     2',
}


async def _look(name: str, given: Arguments) -> Any:
    return {"get_revision": REVISION, "list_proposals": {"proposals": [FOREIGN]}}[name]


def _asked(name: str, given: Arguments, **more: Any) -> Question | None:
    async def run(given: Arguments) -> Any:
        raise AssertionError("it was run")

    tool = Tool(name=name, title=name, description="", takes={"type": "object"}, run=run, **more)
    return asyncio.run(question_of(tool, given, {plan.id: plan for plan in (OURS, DELETES)}, _look))


@pytest.mark.parametrize(
    ("name", "given", "more"),
    [
        ("list_resources", {}, {"reads": True}),
        ("send_request", {"method": "GET", "path": "/"}, {"reaches_out": True}),
        ("discard_proposal", {"id": "p1"}, {}),
    ],
)
def test_nobody_is_asked_before_what_changes_nothing(name: str, given: Arguments, more: dict[str, Any]) -> None:
    assert _asked(name, given, **more) is None


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("send_request", {"method": "DELETE", "path": "/speakers/1"}),
        ("send_request", {}),
        ("discard_proposal", {"id": "p9"}),
        ("create_key", {"name": "ada"}),
        ("a_tool_that_is_new", {}),
    ],
)
def test_the_user_is_asked_before_everything_else_and_sees_what_it_would_be(name: str, given: Arguments) -> None:
    question = _asked(name, given)
    assert question is not None
    for value in given.values():
        assert value in question.difference


def test_a_yes_is_to_the_plan_of_that_id() -> None:
    own, deletes, foreign = (_asked("apply_proposal", {"id": id}, destroys=True) for id in ("p1", "p2", "p9"))
    assert own == Question(title="Apply p1: a greeting", plan=OURS)
    assert deletes == Question(title="Apply p2: cleaning up", plan=DELETES, destroys=True)
    assert foreign is not None
    assert (foreign.ours, foreign.plan) == (False, Plan("p9", "theirs", "~ routes/1"))
    with pytest.raises(Refused, match="no proposal p7"):
        _asked("apply_proposal", {"id": "p7"})


def test_undoing_shows_what_comes_and_what_goes() -> None:
    question = _asked("undo_revision", {"revision": 4}, destroys=True)
    assert question is not None
    assert question.title == "Take back revision 4: a greeting"
    assert question.difference.splitlines() == [
        *("- routes/hello", "    -{", '    -  "a": "- b"', "    -}", "~ routes/1", "    +1", "     2"),
    ]
