"""Whole answers of Ollama, both ways."""

import msgspec

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Reasoning, Refusal, Text, TokenLogprob, ToolUse
from tollkeeper.core.deltas import Delta
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.dialects.ollama_chat import shapes
from tollkeeper.dialects.ollama_chat.decoder import OllamaDecoder, decode
from tollkeeper.dialects.ollama_chat.shapes import CHAT, Shape

_encode = msgspec.json.encode


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body has neither words nor an error, or is not the whole answer."""
    found = decode(body)
    decoder = OllamaDecoder(sitting)
    deltas = decoder.hear(found, body)
    if not decoder.done:
        raise ValueError("an answer that is not done")
    return deltas


def render(answer: Answer, identity: Identity, shape: Shape = CHAT) -> bytes:
    """The body of an answer. Of several choices it has the first."""
    choice = answer.choices[0] if answer.choices else None
    text, thoughts = "", ""
    calls = []
    likely: list[TokenLogprob] = []
    for block in choice.blocks if choice is not None else ():
        if isinstance(block, ToolUse):
            calls.append(shapes.call(block.id, block.name, block.arguments))
        elif isinstance(block, Reasoning):
            thoughts += block.text
        elif isinstance(block, (Text, Refusal)):
            text += block.text
            if isinstance(block, Text):
                likely += block.logprobs or ()
    created = identity.created if answer.created is None else answer.created
    body = shapes.head(answer.model or identity.model, created) + shape.text + _encode(text)
    if thoughts:
        body += b',"thinking":' + _encode(thoughts)
    if calls:
        body += b',"tool_calls":' + _encode(calls)
    body += shape.closing
    if likely:
        body += b',"logprobs":' + _encode(shapes.logprobs(likely))
    return body + shapes.tail(choice.stop if choice is not None else "end", answer.reported)
