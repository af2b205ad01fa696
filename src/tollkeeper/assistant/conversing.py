"""The assistant's loop, without a transport: the user's words in, what happens out, until the model is through.

Rule 1: what resources, upstreams and errors say reaches the model as results of tools, never as anybody's words.
Rule 2: whatever the model does wrong (tools that there are not, broken arguments, the same again and again) is told to it
        as a result, and ends at a bound; it is never the end of the conversation.
Rule 3: what is remembered is whole: no tool's call without its result, however a turn ends.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from tollkeeper.assistant.agreement import Agreement
from tollkeeper.assistant.events import Ended, Ending, Event, Plan, Words
from tollkeeper.assistant.model import Model
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.assistant.using import Using, failed
from tollkeeper.core.answers import Said, gathered
from tollkeeper.core.conversation import Conversation, Foreign, Sampling, Text, ToolResult, ToolUse, Turn
from tollkeeper.core.conversation import Tool as ToolSeen
from tollkeeper.core.deltas import Delta, RefusalStart, TextDelta, TextStart
from tollkeeper.mcp.tool import Tool

_MANNERS = """You are at a terminal with the user. Look things up with the tools rather than guess; what you do not know \
of a plugin, its schema says. When you have proposed what the user asked for, call apply_proposal: the user is shown the \
difference and asked, by the terminal, before anything happens, so do not ask in words as well, and do not repeat the \
difference. If they decline, ask what they would like instead. Answer briefly, in the user's language, without markup."""
_CHARACTERS_A_TOKEN = 4
"""Where a model reports no usage (https://help.openai.com/en/articles/4936856)."""
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
"""Of a tool (https://platform.openai.com/docs/api-reference/chat/create, tools)."""
_BROKEN_OFF = "The user broke off: look whether it was done."


class Assistant:
    """One conversation. `model` answers as `name`."""

    def __init__(
        self,
        model: Model,
        name: str,
        tools: Sequence[Tool],
        agreement: Agreement,
        options: AssistantOptions,
        instructions: str,
    ) -> None:
        self._model = model
        self._name = name
        self._tools = {tool.name: tool for tool in tools}
        self._seen = tuple(ToolSeen(tool.name, tool.description, dict(tool.takes)) for tool in tools)
        self._agreement = agreement
        self._options = options
        self._instructions = Turn("system", (Text(f"{instructions}\n\n{_MANNERS}".strip()),))
        self._exchanges: list[list[Turn]] = []
        """Each begins with the user's words."""
        self._plans: dict[str, Plan] = {}

    async def turn(self, said: str) -> AsyncGenerator[Event, None]:
        """What comes of the user's words. Raises TollkeeperError where the model cannot be asked, or breaks off."""
        exchange = [Turn("user", (Text(said),))]
        self._exchanges.append(exchange)
        using = Using(self._tools, self._plans, self._agreement, self._options)
        spent_in = spent_out = 0
        for number in range(1, self._options.rounds + 1):
            pieces: list[Delta] = []
            conversation = self._conversation()
            speaking: set[int] = set()
            async with aclosing(self._model(conversation)) as deltas:
                async for delta in deltas:
                    pieces.append(delta)
                    if isinstance(delta, (TextStart, RefusalStart)):
                        speaking.add(delta.block)
                    elif isinstance(delta, TextDelta) and delta.block in speaking:
                        yield Words(delta.text)
            answer = gathered(pieces)
            choice = answer.choices[0] if answer.choices else None
            said_now = choice.blocks if choice is not None else ()
            # Beside the words some providers tell of their filters: that is not for the model.
            blocks: tuple[Said, ...] = tuple(_sound(block) for block in said_now if not isinstance(block, Foreign))
            if answer.reported is not None:
                spent_in += answer.reported.usage.input_tokens
                spent_out += answer.reported.usage.output_tokens
            else:
                spent_in += len(msgspec.json.encode(conversation)) // _CHARACTERS_A_TOKEN
                spent_out += len(msgspec.json.encode(blocks)) // _CHARACTERS_A_TOKEN
            uses = [block for block in said_now if isinstance(block, ToolUse)]
            if not uses:
                if blocks:
                    exchange.append(Turn("assistant", blocks))
                stop = choice.stop if choice is not None else "end"
                # Once it has used tools, a model may be through without a word.
                why: Ending = "done" if blocks or number > 1 else "empty"
                if stop in ("length", "context"):
                    why = "length"
                elif stop == "filter":
                    why = "filter"
                yield Ended(why, number, spent_in, spent_out)
                return
            results: list[ToolResult] = []
            try:
                for position, use in enumerate(uses):
                    async with aclosing(using.use(use, position, results)) as events:
                        async for event in events:
                            yield event
            finally:
                done = {result.id for result in results}
                results += [failed(use, _BROKEN_OFF) for use in uses if use.id not in done]
                exchange += (Turn("assistant", blocks), Turn("tool", tuple(results)))
            if spent_in + spent_out >= self._options.tokens:
                yield Ended("tokens", number, spent_in, spent_out)
                return
        yield Ended("rounds", self._options.rounds, spent_in, spent_out)

    async def undo(self, revision: int) -> AsyncGenerator[Event, None]:
        """The same as a turn in which the model calls for just that, without the model."""
        use = ToolUse("", "undo_revision", msgspec.json.encode({"revision": revision}).decode())
        using = Using(self._tools, self._plans, self._agreement, self._options)
        async with aclosing(using.use(use, 0, [])) as events:
            async for event in events:
                yield event

    def _conversation(self) -> Conversation:
        exchanges = self._exchanges
        sizes = [len(msgspec.json.encode(exchange)) for exchange in exchanges]
        while len(exchanges) > 1 and sum(sizes) > self._options.history_characters:
            del exchanges[0], sizes[0]
        turns = [self._instructions, *(turn for exchange in exchanges for turn in exchange)]
        return Conversation(
            dialect="openai_chat",
            model=self._name,
            turns=tuple(turns),
            tools=self._seen,
            sampling=Sampling(max_tokens=self._options.answer_tokens),
            stream=True,
        )


def _sound(block: Said) -> Said:
    """As every provider takes it back: what a model called wrongly would be its next request's error."""
    if not isinstance(block, ToolUse):
        return block
    try:
        whole = isinstance(msgspec.json.decode(block.arguments or "{}"), dict)
    except (ValueError, RecursionError):
        whole = False
    name = _ODD.sub("_", block.name)[:_LONGEST_NAME] or "_"
    return msgspec.structs.replace(block, name=name, arguments=block.arguments if whole else "{}")
