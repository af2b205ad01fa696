"""The tools as the model uses them in one turn: looked up, read, asked about, run, and told.

Whatever is wrong with a call is told to the model as the call's result, so that it can do better.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from tollkeeper.assistant.agreement import Agreement, Declined, question_of
from tollkeeper.assistant.events import Answered, Changed, Event, Plan, Planned, Secret, Used
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.core.conversation import Text, ToolResult, ToolUse
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.mcp.arguments import check
from tollkeeper.mcp.tool import Arguments, Refused, Tool

_SHOWN = "[shown to the user]"


class Using:
    """One turn's. `plans` are those of the conversation, by id; new ones are added."""

    def __init__(
        self, tools: Mapping[str, Tool], plans: dict[str, Plan], agreement: Agreement, options: AssistantOptions
    ) -> None:
        self._tools = tools
        self._plans = plans
        self._agreement = agreement
        self._options = options
        self._declined: set[str] = set()
        self._warned = False

    async def use(self, use: ToolUse, position: int, results: list[ToolResult]) -> AsyncGenerator[Event, None]:
        """Runs one, if it may be; its result is appended to `results`."""
        yield Used(use.name, use.arguments)
        try:
            if position >= self._options.calls:
                raise Refused(f"Too many calls at once: {self._options.calls} at most. Nothing was done.")
            found = await self._run(use)
        except Refused as error:
            results.append(failed(use, str(error)))
            yield Answered(use.name, str(error), True)
            return
        except TollkeeperError as error:
            results.append(failed(use, error.message))
            yield Answered(use.name, error.message, True)
            return
        for event in self._noted(use.name, found):
            yield event
        if use.name == "create_key" and isinstance(found, dict):
            found = {**found, "key": _SHOWN}
        text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
        most = self._options.result_characters
        if len(text) > most:
            text = f"{text[:most]}… [{len(text) - most} more characters are left out: ask for less]"
        results.append(ToolResult(use.id, (Text(text),), name=use.name))
        yield Answered(use.name, text, False)

    async def _run(self, use: ToolUse) -> Any:
        tool = self._tools.get(use.name)
        if tool is None:
            raise Refused(f"There is no tool {use.name[:64]!r}. There are: {', '.join(self._tools)}.")
        given = _arguments(use.arguments)
        if not tool.checks_arguments:
            check(tool, given)
        asked = await question_of(tool, given, self._plans, self._look)
        if asked is not None:
            if asked.title in self._declined:
                raise Declined("The user has declined this already.")
            if not await self._agreement(msgspec.structs.replace(asked, warned=self._warned)):
                self._declined.add(asked.title)
                raise Declined("The user does not agree. Nothing was done.")
        self._warned = self._warned or tool.reaches_out
        return await tool.run(given)

    async def _look(self, name: str, given: Arguments) -> Any:
        tool = self._tools.get(name)
        if tool is None or not tool.reads:
            raise Refused(f"What it would do cannot be shown: there is no {name}.")
        return await tool.run(given)

    def _noted(self, name: str, found: Any) -> list[Event]:
        """What the user is to see of a result."""
        if not isinstance(found, dict):
            return []
        if name == "propose_changes":
            plan = Plan.read(found)
            self._plans[plan.id] = plan
            return [Planned(plan)]
        if name in ("apply_proposal", "undo_revision"):
            return [Changed(int(found["revision"]), str(found["what"]))]
        if name == "create_key" and isinstance(found.get("key"), str):
            return [Secret(str(found.get("name")), found["key"])]
        return []


def _arguments(text: str) -> Arguments:
    """Raises Refused."""
    try:
        given = msgspec.json.decode(text or "{}")
    except (ValueError, RecursionError) as error:
        raise Refused(f"The arguments are not JSON: {error}.") from None
    if not isinstance(given, dict):
        raise Refused("The arguments are not an object.")
    return given


def failed(use: ToolUse, words: str) -> ToolResult:
    """What the model is told where there is no result."""
    return ToolResult(use.id, (Text(words),), failed=True, name=use.name)
