"""Random interleavings of text, reasoning, refusals and tool calls survive every way through the dialects."""

import pytest
from hypothesis import given

from kit.properties import examples
from kit.streams import streams
from kit.translations import ALL, IDENTITY, SITTING, comparable, decoded, encoded
from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import Delta
from tollkeeper.core.translation import Translator


@pytest.mark.parametrize("second", ALL, ids=lambda translator: translator.name)
@pytest.mark.parametrize("first", ALL, ids=lambda translator: translator.name)
@examples(12)
@given(deltas=streams())
def test_a_stream_survives_two_dialects(first: Translator, second: Translator, deltas: list[Delta]) -> None:
    once = decoded(first, encoded(first, deltas))
    twice = decoded(second, encoded(second, once))

    assert comparable(gathered(once), first.name) == comparable(gathered(deltas), first.name)
    assert comparable(gathered(twice), first.name, second.name) == comparable(gathered(deltas), first.name, second.name)


@pytest.mark.parametrize("translator", ALL, ids=lambda translator: translator.name)
@examples(60)
@given(deltas=streams())
def test_a_whole_answer_survives(translator: Translator, deltas: list[Delta]) -> None:
    answer = gathered(deltas)
    again = gathered(translator.read_answer(translator.render_answer(answer, IDENTITY), SITTING))

    assert comparable(again, translator.name) == comparable(answer, translator.name)
