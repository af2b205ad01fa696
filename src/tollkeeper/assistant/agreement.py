"""What needs the user's yes before it is done, and what exactly that yes is to.

Rule 1: a tool that changes anything is run only after a yes; requests that HTTP calls safe are none of those
        (https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1).
Rule 2: a yes to a plan is to the plan of that id, which was shown; it is good for nothing else.
Rule 3: what a tool says can not agree. Only the user is asked, by `Agreement`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tollkeeper.assistant.events import Plan
from tollkeeper.mcp.tool import Arguments, Refused, Tool

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_FLIPPED = {"+": "-", "-": "+"}
Look = Callable[[str, Arguments], Awaitable[Any]]
"""Runs a tool that changes nothing, by name. Raises Refused."""


class Question(Struct, frozen=True, kw_only=True):
    """May this be done?"""

    title: str
    plan: Plan | None = None
    """Of a proposal that is to be applied."""
    ours: bool = True
    """Whether it came up in this conversation."""
    difference: str = ""
    """Where it is not a plan that says it."""
    destroys: bool = False
    """Something that is there would be gone."""
    warned: bool = False
    """Whether the model has read an upstream's answer since the user last spoke, which may have told it what to do."""


class Agreement(Protocol):
    """The user."""

    async def __call__(self, question: Question) -> bool:
        """Shows it and waits for a yes or no."""
        ...


class Declined(Refused):
    """The user did not agree."""


async def question_of(tool: Tool, given: Arguments, plans: Mapping[str, Plan], look: Look) -> Question | None:
    """What to ask before `tool` is run; None where it changes nothing. `plans` are those of this conversation.

    Raises Refused where there is no such plan or revision.
    """
    if tool.reads or (tool.name == "send_request" and given.get("method", "") in _SAFE):
        return None
    if tool.name == "apply_proposal":
        return await _apply(str(given.get("id")), plans, look)
    if tool.name == "discard_proposal" and given.get("id") in plans:
        return None
    if tool.name == "undo_revision":
        told = await look("get_revision", {"revision": given.get("revision")})
        return Question(
            title=f"Take back revision {given.get('revision')}: {told['what']}",
            difference=_flipped(str(told["difference"])),
            destroys=True,
        )
    words = msgspec.json.format(msgspec.json.encode(given)).decode()
    return Question(title=f"{tool.title}", difference=words, destroys=tool.destroys and not tool.reaches_out)


async def _apply(id: str, plans: Mapping[str, Plan], look: Look) -> Question:
    plan = plans.get(id)
    ours = plan is not None
    if plan is None:
        waiting = (await look("list_proposals", {}))["proposals"]
        plan = next((Plan.read(told) for told in waiting if told["id"] == id), None)
    if plan is None:
        raise Refused(f"There is no proposal {id[:64]}.")
    gone = any(line.startswith("- ") for line in plan.difference.split("\n"))
    return Question(title=f"Apply {plan.id}: {plan.what}", plan=plan, ours=ours, destroys=gone)


def _flipped(difference: str) -> str:
    """What comes goes, and what goes comes."""
    lines = []
    for line in difference.split("\n"):
        at = len(line) - len(line.lstrip())
        sign = line[at : at + 1]
        if at in (0, 4) and sign in _FLIPPED:
            line = line[:at] + _FLIPPED[sign] + line[at + 1 :]
        lines.append(line)
    return "\n".join(lines)
