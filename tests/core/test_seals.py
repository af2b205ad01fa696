"""Seals travel wrapped through clients of other dialects and come back with their origin."""

import pytest

from tollkeeper.core.conversation import Seal
from tollkeeper.core.seals import belongs_to_call, unwrapped, wrapped


@pytest.mark.parametrize("value", ["sig", "a.b.c", '{"x":1}', ""])
@pytest.mark.parametrize("of_call", [False, True])
def test_a_seal_comes_back(value: str, of_call: bool) -> None:
    text = wrapped(Seal(value, "anthropic"), "openai_chat", of_call=of_call)

    assert unwrapped(text, "openai_chat") == Seal(value, "anthropic")
    assert belongs_to_call(text) is of_call


def test_a_dialect_s_own_seal_is_bare() -> None:
    assert wrapped(Seal("sig", "openai_chat"), "openai_chat") == "sig"
    assert unwrapped("sig", "openai_chat") == Seal("sig", "openai_chat")
    assert unwrapped("tk1.sig", "openai_chat") == Seal("tk1.sig", "openai_chat")
