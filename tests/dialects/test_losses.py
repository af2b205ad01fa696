"""What is lost is named once, in the client's words; strict terms refuse it instead."""

import pytest

from tollkeeper.core.conversation import Conversation
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Terms
from tollkeeper.dialects.losses import Losses

ASKED = Conversation(
    dialect="a", model="m", turns=(), own={"odd": 1}, unread=("messages.odd",), words={"stop": "stop_sequences"}
)
STRICT = Terms(model="m", origin="o", strict=True)


def test_losses_are_named_once_in_the_client_s_words() -> None:
    losses = Losses(ASKED, Terms(model="m", origin="o"), "b")
    losses.drop("stop")
    losses.note("stop")
    losses.drop("seed")

    assert losses.dropped == ("odd", "messages.odd", "stop_sequences", "seed")


def test_a_dialect_keeps_its_own_fields() -> None:
    assert Losses(ASKED, Terms(model="m", origin="o"), "a").dropped == ("messages.odd",)


def test_strict_terms_refuse_all_but_hints() -> None:
    plain = Conversation(dialect="a", model="m", turns=(), words={"stop": "stop_sequences"})
    losses = Losses(plain, STRICT, "b")
    losses.note("hint")

    with pytest.raises(CallerError) as refused:
        losses.drop("stop")
    assert (refused.value.param, refused.value.code) == ("stop_sequences", "unsupported_parameter")
    with pytest.raises(CallerError):
        Losses(ASKED, STRICT, "b")
