"""Whole answers of Anthropic Messages, both ways, and the members that events share with them."""

from typing import Any

import msgspec

from tollkeeper.core.answers import Answer, Said
from tollkeeper.core.conversation import Citation, Foreign, Reasoning, Text, ToolUse
from tollkeeper.core.deltas import Delta, StopReason
from tollkeeper.core.seals import wrapped
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.dialects.anthropic_messages import ids, usage
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT, MessagesDecoder, decode_message

_encode = msgspec.json.encode
_REASONS: dict[StopReason, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool": "tool_use",
    "refusal": "refusal",
    "filter": "refusal",
    "pause": "pause_turn",
    "context": "model_context_window_exceeded",
    "compaction": "compaction",
}


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body is not a message."""
    message = decode_message(body)
    if message.content is None:
        raise ValueError("a message without content")
    decoder = MessagesDecoder(sitting)
    return decoder.start(message) + decoder.close()


def render(answer: Answer, identity: Identity) -> bytes:
    """The body of a message. Of several choices it has the first."""
    choice = answer.choices[0] if answer.choices else None
    content: list[dict[str, Any]] = []
    for block in choice.blocks if choice is not None else ():
        content += _block(block)
    return _encode(
        {
            "id": answer.id or f"msg_{identity.id}",
            "type": "message",
            "role": "assistant",
            "model": answer.model or identity.model,
            "content": content,
            "stop_reason": stop_reason(choice.stop if choice is not None else "end"),
            "stop_sequence": choice.sequence if choice is not None else None,
            "usage": usage.rendered(answer.reported),
        }
    )


def _block(block: Said) -> list[dict[str, Any]]:
    if isinstance(block, Text):
        if not block.text and not block.citations:
            return []
        cited = [citation(found) for found in block.citations]
        return [{"type": "text", "text": block.text, **({"citations": cited} if cited else {})}]
    if isinstance(block, Reasoning):
        return reasoning(block)
    if isinstance(block, ToolUse):
        sealed = []
        if block.seal is not None:
            value = wrapped(block.seal, DIALECT, of_call=True)
            sealed = [{"type": "thinking", "thinking": "", "signature": value}]
        return [*sealed, tool_use(block)]
    if isinstance(block, Foreign):
        return [msgspec.json.decode(block.data)] if block.dialect == DIALECT else []
    return [{"type": "text", "text": block.text}] if block.text else []


def reasoning(block: Reasoning) -> list[dict[str, Any]]:
    """A thinking block; without a seal its signature is empty, which its own dialect would not take back."""
    value = wrapped(block.seal, DIALECT) if block.seal is not None else ""
    if block.redacted:
        return [{"type": "redacted_thinking", "data": value}]
    if not block.text and not value:
        return []
    return [{"type": "thinking", "thinking": block.text, "signature": value}]


def tool_use(block: ToolUse) -> dict[str, Any]:
    """Raises ValueError where the arguments are not JSON."""
    given = block.arguments if block.custom else msgspec.json.decode(block.arguments.strip() or "{}")
    if not isinstance(given, dict):
        given = {"input": given}
    return {"type": "tool_use", "id": ids.told(block.id), "name": block.name, "input": given}


def stop_reason(reason: StopReason) -> str:
    return _REASONS[reason]


def citation(found: Citation) -> dict[str, Any]:
    """Their own as it was; others as the result of a web search, without the index that only their search gives."""
    if found.own is not None and found.own.dialect == DIALECT:
        return msgspec.json.decode(found.own.data, type=dict[str, Any])
    return {
        "type": "web_search_result_location",
        "url": found.url or "",
        "title": found.title,
        "cited_text": found.text or "",
        "encrypted_index": "",
    }
