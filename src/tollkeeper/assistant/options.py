"""[assistant]: which model it asks, and how far one turn of it may go."""

from msgspec import Struct

from tollkeeper.core.limits import Positive, Seconds


class AssistantOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assistant]"""

    model: str | None = None
    """Which the gate knows; None: the only one that the key may use."""
    rounds: Positive = 24
    """Calls of the model for one message of the user's."""
    calls: Positive = 16
    """Tool calls in one round; further ones are refused."""
    result_characters: Positive = 24_000
    """Of one tool's result that the model is shown."""
    tokens: Positive = 400_000
    """In and out, for one message of the user's; no further round is begun beyond it."""
    answer_tokens: Positive = 8_192
    """That one answer of the model's may have."""
    history_characters: Positive = 400_000
    """Of the conversation that the model is shown; the oldest exchanges are left out."""
    seconds: Seconds = 300.0
    """For one call of the model."""
