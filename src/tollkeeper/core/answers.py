"""A whole answer in neutral form, and the pieces it is gathered from."""

from collections.abc import Iterable

from msgspec import Struct

from tollkeeper.core.conversation import (
    Citation,
    Foreign,
    Reasoning,
    Refusal,
    Seal,
    Text,
    TokenLogprob,
    ToolUse,
)
from tollkeeper.core.deltas import (
    BlockEnd,
    Cited,
    Delta,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    StopReason,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.usage import Reported

Said = Text | Reasoning | Refusal | ToolUse | Foreign


class Choice(Struct, frozen=True):
    """One of the answers to one request."""

    blocks: tuple[Said, ...] = ()
    stop: StopReason = "end"
    sequence: str | None = None


class Answer(Struct, frozen=True, kw_only=True):
    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    reported: Reported | None = None
    tier: str | None = None
    failure: Failure | None = None


class _Open:
    """A block that is being gathered."""

    __slots__ = ("citations", "logprobs", "seal", "start", "texts")

    def __init__(self, start: Delta) -> None:
        self.start = start
        self.texts: list[str] = []
        self.citations: list[Citation] = []
        self.logprobs: list[TokenLogprob] = []
        self.seal: Seal | None = None

    def block(self) -> Said:
        start, text = self.start, "".join(self.texts)
        if isinstance(start, TextStart):
            return Text(text, tuple(self.citations), tuple(self.logprobs) or None)
        if isinstance(start, ReasoningStart):
            return Reasoning(text, self.seal, start.redacted, start.id)
        if isinstance(start, ToolStart):
            return ToolUse(start.id, start.name, text, start.custom, self.seal or start.seal)
        return Refusal(text)


def gathered(deltas: Iterable[Delta]) -> Answer:
    """The answer that these pieces make up, blocks in the order in which they began."""
    blocks: dict[int, list[_Open | Foreign]] = {}
    open_blocks: dict[int, _Open] = {}
    finishes: dict[int, Finish] = {}
    start = Start(None, None)
    noted: UsageNoted | None = None
    failure = None
    for delta in deltas:
        if isinstance(delta, TextDelta):
            found = open_blocks[delta.block]
            found.texts.append(delta.text)
            found.logprobs.extend(delta.logprobs or ())
        elif isinstance(delta, (TextStart, ReasoningStart, RefusalStart, ToolStart)):
            begun = open_blocks[delta.block] = _Open(delta)
            blocks.setdefault(delta.choice, []).append(begun)
        elif isinstance(delta, Sealed):
            open_blocks[delta.block].seal = delta.seal
        elif isinstance(delta, Cited):
            open_blocks[delta.block].citations.append(delta.citation)
        elif isinstance(delta, BlockEnd):
            del open_blocks[delta.block]
        elif isinstance(delta, ForeignPiece):
            blocks.setdefault(delta.choice, []).append(Foreign(delta.dialect, delta.data))
        elif isinstance(delta, Finish):
            finishes[delta.choice] = delta
        elif isinstance(delta, UsageNoted):
            noted = delta
        elif isinstance(delta, Start):
            start = delta
        elif isinstance(delta, Failed):
            failure = delta.failure
    return Answer(
        id=start.id,
        model=start.model,
        created=start.created,
        choices=tuple(
            Choice(
                tuple(found if isinstance(found, Foreign) else found.block() for found in blocks.get(index, ())),
                finishes[index].reason if index in finishes else "end",
                finishes[index].sequence if index in finishes else None,
            )
            for index in sorted(blocks.keys() | finishes.keys())
        ),
        reported=noted.reported if noted is not None else start.usage,
        tier=noted.tier if noted is not None else None,
        failure=failure,
    )
