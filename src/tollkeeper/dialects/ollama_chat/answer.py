"""Whole answers of Ollama, both ways, and the members that lines share with them."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Reasoning, Refusal, Text, ToolUse
from tollkeeper.core.deltas import Delta, StopReason
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.ollama_chat.decoder import OllamaDecoder, decode

_encode = msgspec.json.encode
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body is not an answer that is done."""
    line = decode(body)
    if not line.done or (line.message is None and line.response is None):
        raise ValueError("an answer that is not done")
    return OllamaDecoder(sitting).hear(line)


def render(answer: Answer, identity: Identity, *, generate: bool = False) -> bytes:
    """The body of an answer. Of several choices it has the first."""
    choice = answer.choices[0] if answer.choices else None
    content = thinking = ""
    calls = []
    for block in choice.blocks if choice is not None else ():
        if isinstance(block, (Text, Refusal)):
            content += block.text
        elif isinstance(block, Reasoning):
            thinking += block.text
        elif isinstance(block, ToolUse):
            calls.append(call(block.id, block.name, block.arguments))
    thought = {"thinking": thinking} if thinking else {}
    if generate:
        said: dict[str, Any] = {"response": content, **thought}
    else:
        message = {"role": "assistant", "content": content, **thought, **({"tool_calls": calls} if calls else {})}
        said = {"message": message}
    top = head(answer.model or identity.model, answer.created or identity.created)
    return _encode({**top, **said, **ended(choice.stop if choice is not None else "end", answer.reported)})


def head(model: str, created: int) -> dict[str, Any]:
    """What every line begins with."""
    return {"model": model, "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")}


def call(name_of_call: str, name: str, arguments: str) -> dict[str, Any]:
    """One of `tool_calls`; arguments that are no object travel as one."""
    try:
        given = msgspec.json.decode(arguments or "{}")
    except ValueError:
        given = arguments
    return {
        "id": name_of_call,
        "function": {"name": name, "arguments": given if isinstance(given, dict) else {"input": given}},
    }


def ended(reason: StopReason, reported: Reported | None) -> dict[str, Any]:
    """What the last line has beside its empty words. Nobody measured durations here: they are 0."""
    length = reason in ("length", "context", "compaction")
    last: dict[str, Any] = {"done": True, "done_reason": "length" if length else "stop"}
    last |= dict.fromkeys(_DURATIONS, 0)
    if reported is not None:
        last["prompt_eval_count"] = reported.usage.input_tokens
        last["eval_count"] = reported.usage.output_tokens
    return last
