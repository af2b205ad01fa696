"""What a model is told whose arguments are not what a tool takes."""

import pytest

from tollkeeper.mcp.arguments import check
from tollkeeper.mcp.tool import Arguments, Refused, Tool


async def _run(arguments: Arguments) -> None: ...


TOOL = Tool(
    name="look",
    title="Look",
    description="Looks.",
    takes={
        "type": "object",
        "properties": {"at": {"enum": ["a", "b"]}},
        "required": ["at"],
        "additionalProperties": False,
    },
    run=_run,
)


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "must contain"), ({"at": "c"}, "arguments.at must be one of"), ({"at": "a", "x": 1}, "must not contain")],
)
def test_the_first_thing_that_is_wrong_is_named(given: Arguments, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        check(TOOL, given)
    assert str(refused.value).startswith("look: arguments")


def test_what_is_right_passes() -> None:
    check(TOOL, {"at": "a"})
