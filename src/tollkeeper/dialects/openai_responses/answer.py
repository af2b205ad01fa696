"""Whole answers of the Responses API, both ways."""

from typing import Any

import msgspec

from tollkeeper.core.answers import Answer, Said
from tollkeeper.core.conversation import Reasoning, Refusal, Text, ToolUse
from tollkeeper.core.deltas import Delta
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.dialects.openai_responses import items
from tollkeeper.dialects.openai_responses.decoder import DIALECT, ResponsesDecoder, decode_response

_encode = msgspec.json.encode


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body is not a response."""
    response = decode_response(body)
    if response.output is None:
        raise ValueError("a response without output")
    return ResponsesDecoder(sitting).end(response)


def render(answer: Answer, identity: Identity) -> bytes:
    """The body of a Response. Of several choices it has the first."""
    choice = answer.choices[0] if answer.choices else None
    output = _output(choice.blocks if choice is not None else (), identity.id)
    status, why = items.ended(choice.stop if choice is not None else "end", output)
    whole = items.response(
        answer.id or f"resp_{identity.id}",
        answer.created or identity.created,
        answer.model or identity.model,
        identity.asked,
        status=status,
        output=output,
        reported=answer.reported,
        incomplete=why,
    )
    return _encode(whole)


def _output(blocks: tuple[Said, ...], name: str) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    said = 0
    for block in blocks:
        place = f"{name}_{len(output)}"
        if isinstance(block, (Text, Refusal)):
            if not output or output[-1].get("type") != "message":
                output.append(items.message(f"msg_{place}", []))
                said = 0
            part = items.refusal_part(block.text) if isinstance(block, Refusal) else _text(block, said)
            said += len(block.text) if isinstance(block, Text) else 0
            output[-1]["content"].append(part)
        elif isinstance(block, Reasoning):
            sealed = items.sealed(block.seal) if block.seal is not None else None
            output.append(items.reasoning(f"rs_{place}", block.text, sealed))
        elif isinstance(block, ToolUse):
            if block.seal is not None:
                output.append(items.reasoning(f"rs_{place}", "", items.sealed(block.seal, of_call=True)))
            text = block.arguments or ("" if block.custom else "{}")
            output.append(items.call(f"fc_{name}_{len(output)}", block.id, block.name, text, block.custom))
        elif block.dialect == DIALECT:
            output.append(msgspec.json.decode(block.data, type=dict[str, Any]))
    return output


def _text(block: Text, begun: int) -> dict[str, Any]:
    found = (items.annotation(citation, begun, begun + len(block.text)) for citation in block.citations)
    return items.text_part(block.text, [one for one in found if one is not None], block.logprobs or ())
