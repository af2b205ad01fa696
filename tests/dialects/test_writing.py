"""Every writer keeps what comes before its time and says nothing after the end."""

import pytest

from kit.translations import ALL, IDENTITY, SITTING, decoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import (
    END,
    PING,
    BlockEnd,
    Delta,
    Failed,
    Failure,
    Finish,
    ForeignPiece,
    Start,
    TextDelta,
    TextStart,
    UsageNoted,
)
from tollkeeper.core.translation import Translator
from tollkeeper.core.usage import Reported, Usage

SAID: list[Delta] = [
    Start("id-1", "model-1", 1),
    UsageNoted(Reported(Usage(input_tokens=1), b"{}")),
    TextStart(0),
    TextDelta(0, "Hello"),
    UsageNoted(Reported(Usage(input_tokens=9, output_tokens=4), b"{}")),
    BlockEnd(0),
    Finish("length"),
]
MORE: list[Delta] = [TextStart(1), TextDelta(1, "more"), BlockEnd(1), PING, Failed(Failure("late")), END]


@pytest.mark.parametrize("translator", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("last", [END, Failed(Failure("broken"))], ids=["end", "failure"])
def test_nothing_follows_the_end_or_a_failure(translator: Translator, last: Delta) -> None:
    together, apart = translator.encoder(IDENTITY), translator.encoder(IDENTITY)
    whole = together.feed([*SAID, last])

    assert together.feed(MORE) == b""
    assert apart.feed([*SAID, last, *MORE]) == whole


@pytest.mark.parametrize("translator", ALL, ids=lambda one: one.name)
def test_the_last_usage_and_the_reason_are_said_whenever_they_came(translator: Translator) -> None:
    answer = gathered(decoded(translator, translator.encoder(IDENTITY).feed([*SAID, END]), sitting=SITTING))

    assert answer.reported is not None
    assert answer.reported.usage == Usage(input_tokens=9, output_tokens=4)
    assert answer.choices[0].stop == "length"


@pytest.mark.parametrize("translator", ALL, ids=lambda one: one.name)
def test_a_piece_of_another_dialect_is_not_said(translator: Translator) -> None:
    stranger = ForeignPiece("nobody's", b'{"type":"canary"}')
    encoder = translator.encoder(IDENTITY)

    assert b"canary" not in encoder.feed([*SAID[:-2], stranger, *SAID[-2:], END])
