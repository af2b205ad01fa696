"""A conversation without a transport: what the model is shown, what is remembered, where a turn ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from tollkeeper.assistant.agreement import Question
from tollkeeper.assistant.conversing import Assistant
from tollkeeper.assistant.events import Ended, Event, Words
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.core.conversation import Conversation, Text, ToolResult, ToolUse
from tollkeeper.core.deltas import (
    END,
    BlockEnd,
    Delta,
    Finish,
    ForeignPiece,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.mcp.tool import Arguments, Tool

Answer = list[Delta]
_USED = UsageNoted(Reported(Usage(input_tokens=40, output_tokens=2), b"{}"))


def _says(*words: str, reason: Any = "end") -> Answer:
    texts = [TextDelta(0, word) for word in words]
    return [Start("a", "m"), TextStart(0), *texts, BlockEnd(0), Finish(reason), _USED, END]


def _uses(*names: str, arguments: str = "{}") -> Answer:
    called: list[Delta] = []
    for number, name in enumerate(names):
        called += (ToolStart(number, f"call_{number}", name), TextDelta(number, arguments), BlockEnd(number))
    return [Start("a", "m"), *called, Finish("tool"), _USED, END]


class _Scripted:
    """A model that answers so, one answer after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.shown: list[Conversation] = []

    async def __call__(self, conversation: Conversation) -> AsyncGenerator[Delta, None]:
        self.shown.append(conversation)
        for delta in self.answers.pop(0):
            yield delta


async def _nobody(question: Question) -> bool:
    raise AssertionError(question)


def _assistant(model: _Scripted, look: Callable[[], Any] = dict, **bounds: Any) -> Assistant:
    async def run(given: Arguments) -> Any:
        return look()

    tool = Tool(name="look", title="Look", description="Looks.", takes={"type": "object"}, run=run, reads=True)
    return Assistant(model, "m", [tool], _nobody, AssistantOptions(**bounds), "Be careful.")


def _turn(assistant: Assistant, said: str = "please") -> list[Event]:
    async def whole() -> list[Event]:
        return [event async for event in assistant.turn(said)]

    return asyncio.run(whole())


def test_words_come_as_they_come_and_tokens_are_summed_over_rounds() -> None:
    model = _Scripted(_uses("look"), _says("It ", "is."))
    events = _turn(_assistant(model))

    assert [event.text for event in events if isinstance(event, Words)] == ["It ", "is."]
    assert events[-1] == Ended("done", 2, 80, 4)


def test_the_model_is_shown_every_result_with_its_call_and_what_the_user_said() -> None:
    model = _Scripted(_uses("look", "look"), _says("Yes."), _says("Again."))
    assistant = _assistant(model, lambda: {"told": 1})
    _turn(assistant, "first")
    _turn(assistant, "second")

    assert [turn.role for turn in model.shown[-1].turns] == ["system", "user", "assistant", "tool", "assistant", "user"]
    results = model.shown[-1].turns[3].blocks
    assert [(block.id, block.content) for block in results if isinstance(block, ToolResult)] == [
        ("call_0", (Text('{"told":1}'),)),
        ("call_1", (Text('{"told":1}'),)),
    ]
    first = model.shown[0].turns[0].blocks[0]
    assert isinstance(first, Text)
    assert first.text.startswith("Be careful.")


def test_what_the_model_called_wrongly_is_given_back_as_every_provider_takes_it() -> None:
    model = _Scripted(_uses("no such tool!", arguments='{"at": '), _says("Well."))
    _turn(_assistant(model))

    called, told = model.shown[-1].turns[-2].blocks[0], model.shown[-1].turns[-1].blocks[0]
    assert isinstance(called, ToolUse)
    assert isinstance(told, ToolResult)
    assert (called.name, called.arguments) == ("no_such_tool_", "{}")
    assert told.failed


def test_a_turn_ends_at_its_rounds_and_at_its_tokens() -> None:
    assert _turn(_assistant(_Scripted(*[_uses("look")] * 9), rounds=3))[-1] == Ended("rounds", 3, 120, 6)
    assert _turn(_assistant(_Scripted(*[_uses("look")] * 9), tokens=80))[-1] == Ended("tokens", 2, 80, 4)


def test_tokens_are_bounded_where_the_model_reports_none() -> None:
    silent = [[delta for delta in _uses("look") if delta is not _USED]] * 9
    ended = _turn(_assistant(_Scripted(*silent), tokens=100))[-1]

    assert isinstance(ended, Ended)
    assert ended.why == "tokens"


def test_an_answer_that_was_cut_says_so() -> None:
    assert _turn(_assistant(_Scripted(_says("half", reason="length"))))[-1] == Ended("length", 1, 40, 2)
    assert _turn(_assistant(_Scripted([Start("a", "m"), Finish("end"), END])))[-1].why == "empty"  # type: ignore[attr-defined]
    assert _turn(_assistant(_Scripted(_uses("look"), [Start("a", "m"), Finish("end"), END])))[-1].why == "done"  # type: ignore[attr-defined]
    assert _turn(_assistant(_Scripted([Start("a", "m"), Finish("filter"), END])))[-1].why == "filter"  # type: ignore[attr-defined]


def test_what_a_provider_tells_beside_the_words_is_not_given_back() -> None:
    filters = ForeignPiece("openai_chat", b'{"prompt_filter_results": []}')
    model = _Scripted([filters, *_says("Yes.")], [Start("a", "m"), Finish("end"), END], _says("Well?"))
    assistant = _assistant(model)
    for said in ("first", "second", "third"):
        _turn(assistant, said)

    turns = model.shown[-1].turns[1:]
    assert [(turn.role, turn.blocks) for turn in turns] == [
        ("user", (Text("first"),)),
        ("assistant", (Text("Yes."),)),
        ("user", (Text("second"),)),
        ("user", (Text("third"),)),
    ]


def test_the_oldest_exchanges_are_left_out_whole() -> None:
    model = _Scripted(*[_says("x" * 400)] * 4)
    assistant = _assistant(model, history_characters=1200)
    for number in range(4):
        _turn(assistant, f"message {number}")

    shown = model.shown[-1].turns
    said = [turn.blocks[0].text for turn in shown if turn.role == "user" and isinstance(turn.blocks[0], Text)]
    assert said[-1] == "message 3"
    assert said[0] != "message 0"
    assert shown[1].role == "user"


def test_who_breaks_off_leaves_no_call_without_a_result() -> None:
    model = _Scripted(_uses("look", "look"), _says("Yes."))
    assistant = _assistant(model)

    async def broken_off() -> None:
        async with aclosing(assistant.turn("first")) as events:
            async for _ in events:
                break

    asyncio.run(broken_off())
    _turn(assistant, "second")
    results = [block for turn in model.shown[-1].turns if turn.role == "tool" for block in turn.blocks]
    assert [result.failed for result in results if isinstance(result, ToolResult)] == [True, True]
