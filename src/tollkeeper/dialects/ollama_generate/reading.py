"""Requests of /api/generate become conversations: instructions, one question, its pictures."""

from tollkeeper.core.conversation import Conversation, Text, Turn
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.ollama_chat import reading

DIALECT = "ollama_generate"
_ESSENTIAL = ("suffix", "template", "context", "raw")
"""What rests on Ollama's own templates and memory."""


def conversation(body: bytes) -> Conversation:
    """Raises CallerError."""
    fields = Fields.of_body(body)
    turns = []
    system, prompt = fields.string("system"), fields.string("prompt")
    if system:
        turns.append(Turn("system", (Text(system),)))
    asked = ([Text(prompt)] if prompt else []) + reading.images(fields)
    if not asked:
        raise fields.refused("prompt", "is empty: models are not loaded", "missing_required_parameter")
    turns.append(Turn("user", tuple(asked)))
    own = {name: value for name in _ESSENTIAL if (value := fields.take(name))}
    return reading.finished(fields, DIALECT, tuple(turns), own)
