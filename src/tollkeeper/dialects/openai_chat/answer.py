"""Whole answers of Chat Completions, both ways, and the members that chunks share with them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollkeeper.core.answers import Answer, Choice
from tollkeeper.core.conversation import Citation, Reasoning, Refusal, Seal, Text, TokenLogprob, ToolUse
from tollkeeper.core.deltas import Delta, StopReason
from tollkeeper.core.seals import wrapped
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.openai_chat import shapes
from tollkeeper.dialects.openai_chat.decoder import DIALECT, ChatDecoder

_encode = msgspec.json.encode
_REASONS: dict[StopReason, str] = {
    "length": "length",
    "context": "length",
    "compaction": "length",
    "tool": "tool_calls",
    "refusal": "content_filter",
    "filter": "content_filter",
}


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body is not an answer with choices."""
    found = shapes.decode(body)
    if not found.choices:
        raise ValueError("an answer without choices")
    decoder = ChatDecoder(sitting)
    return decoder.hear(found) + decoder.close()


def render(answer: Answer, identity: Identity) -> bytes:
    """Bodies of `chat.completion`."""
    return _encode(
        {
            "id": answer.id or f"chatcmpl-{identity.id}",
            "object": "chat.completion",
            "created": answer.created or identity.created,
            "model": answer.model or identity.model,
            "choices": [_choice(index, choice) for index, choice in enumerate(answer.choices)],
            **({"usage": usage(answer.reported)} if answer.reported is not None else {}),
        }
    )


def _choice(index: int, choice: Choice) -> dict[str, Any]:
    content = refusal = None
    reasoning = ""
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    likely: dict[str, Any] | None = None
    for block in choice.blocks:
        if isinstance(block, Text):
            begun = len(content or "")
            content = (content or "") + block.text
            found = (annotation(cited, begun, len(content)) for cited in block.citations)
            annotations += [cited for cited in found if cited is not None]
            if block.logprobs:
                before = likely["content"] if likely else []
                likely = logprobs("content", block.logprobs)
                likely["content"] = before + likely["content"]
        elif isinstance(block, Reasoning):
            reasoning += block.text
            if block.seal is not None:
                detail = reasoning_detail(block.text, block.seal, block.redacted, block.id)
                details.append({**detail, "index": len(details)})
        elif isinstance(block, Refusal) and block.text:
            refusal = (refusal or "") + block.text
        elif isinstance(block, ToolUse):
            arguments = block.arguments or ("" if block.custom else "{}")  # clients parse what they get
            calls.append(tool_call(block.id, block.name, arguments, block.custom, block.seal))
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if reasoning:
        message["reasoning_content"] = reasoning
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    if annotations:
        message["annotations"] = annotations
    reason = finish_reason(choice.stop, refusal is not None)
    return {"index": index, "message": message, "logprobs": likely, "finish_reason": reason}


def finish_reason(reason: StopReason, refused: bool) -> str:
    """`refused`: the refusal has been said in words of its own."""
    return "stop" if reason == "refusal" and refused else _REASONS.get(reason, "stop")


def usage(reported: Reported) -> dict[str, Any]:
    found = reported.usage
    return {
        "prompt_tokens": found.input_tokens,
        "completion_tokens": found.output_tokens,
        "total_tokens": found.input_tokens + found.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": found.cached_input_tokens,
            "cache_write_tokens": found.cache_write_tokens,
            "audio_tokens": found.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": found.reasoning_tokens,
            "audio_tokens": found.audio_output_tokens,
        },
    }


def tool_call(name_of_call: str, name: str, arguments: str, custom: bool, seal: Seal | None) -> dict[str, Any]:
    """One of `tool_calls`, of a message or a first fragment."""
    if custom:
        call: dict[str, Any] = {"id": name_of_call, "type": "custom", "custom": {"name": name, "input": arguments}}
    else:
        call = {"id": name_of_call, "type": "function", "function": {"name": name, "arguments": arguments}}
    if seal is not None:
        call["extra_content"] = google_extra(seal)
    return call


def google_extra(seal: Seal) -> dict[str, Any]:
    """Where a tool call's seal travels: the place that Gemini's imitation of Chat Completions gave it."""
    return {"google": {"thought_signature": wrapped(seal, DIALECT)}}


def reasoning_detail(text: str, seal: Seal, redacted: bool, name: str | None) -> dict[str, Any]:
    """One of `reasoning_details`, whole: clients send it back as they got it."""
    value = wrapped(seal, DIALECT)
    detail: dict[str, Any] = {"type": "reasoning.encrypted", "data": value}
    if not redacted:
        detail = {"type": "reasoning.text", "text": text, "signature": value}
    if name is not None:
        detail["id"] = name
    return {**detail, "format": "tollkeeper"}


def annotation(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """A `url_citation` of the words from `start` to `end`; None for sources that have no address."""
    if citation.own is not None and citation.own.dialect == DIALECT:
        return msgspec.json.decode(citation.own.data, type=dict[str, Any])
    if citation.url is None:
        return None
    place = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": start if citation.start is None else citation.start,
        "end_index": end if citation.end is None else citation.end,
    }
    if citation.text is not None:
        place["content"] = citation.text
    return {"type": "url_citation", "url_citation": place}


def logprobs(kind: str, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """`kind`: content or refusal; the other one is null."""
    return {"content": None, "refusal": None, kind: [_logprob(found) for found in tokens]}


def _logprob(found: TokenLogprob) -> dict[str, Any]:
    top = [{"token": other.token, "logprob": other.logprob, "bytes": other.bytes} for other in found.top]
    return {"token": found.token, "logprob": found.logprob, "bytes": found.bytes, "top_logprobs": top}
