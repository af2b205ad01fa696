"""Every dialect is known by being there, and says in the tests what it has no words for."""

from kit.translations import SAYS
from tollkeeper.dialects.translators import TRANSLATORS


def test_every_dialect_is_known_and_held_to_the_laws() -> None:
    assert {"openai_chat", "openai_responses", "anthropic_messages"} <= TRANSLATORS.keys()
    assert {name: says.translator for name, says in SAYS.items()} == TRANSLATORS
