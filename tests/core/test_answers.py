"""Pieces are gathered into an answer, in the order in which blocks began."""

from tollkeeper.core.answers import Answer, Choice, gathered
from tollkeeper.core.conversation import Citation, Foreign, Reasoning, Refusal, Seal, Text, ToolUse
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Cited,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
    ReasoningStart,
    RefusalStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.usage import Reported, Usage

EARLY = Reported(Usage(input_tokens=5), b"1")
LATE = Reported(Usage(input_tokens=5, output_tokens=2), b"2")


def test_blocks_of_every_kind_are_gathered() -> None:
    cited = Citation("https://a")
    found = gathered(
        [
            Start("i", "m", 3, EARLY), PING,
            ReasoningStart(0), TextDelta(0, "h"), TextDelta(0, "m"), Sealed(0, Seal("s", "o")), BlockEnd(0),
            TextStart(1), ToolStart(2, "a", "f"), TextDelta(2, "{"), TextDelta(1, "x"), TextDelta(2, "}"),
            Cited(1, cited), BlockEnd(1), BlockEnd(2), ForeignPiece("d", b"{}"),
            RefusalStart(3, 1), TextDelta(3, "no"), BlockEnd(3), UsageNoted(LATE, "fast"),
            Finish("stop_sequence", "X"), Finish("refusal", None, 1), END,
        ]
    )  # fmt: skip

    assert found == Answer(
        id="i",
        model="m",
        created=3,
        choices=(
            Choice(
                (Reasoning("hm", Seal("s", "o")), Text("x", (cited,)), ToolUse("a", "f", "{}"), Foreign("d", b"{}")),
                "stop_sequence",
                "X",
            ),
            Choice((Refusal("no"),), "refusal"),
        ),
        reported=LATE,
        tier="fast",
    )


def test_a_failure_keeps_what_was_said_before() -> None:
    found = gathered([Start("i", "m", usage=EARLY), TextStart(0), TextDelta(0, "x"), Failed(Failure("m", 500))])

    assert found.choices == (Choice((Text("x"),)),)
    assert (found.failure, found.reported) == (Failure("m", 500), EARLY)
