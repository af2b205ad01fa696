"""Whole answers of generateContent, both ways, and the members that chunks share with them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollkeeper.core.answers import Answer, Choice, Said
from tollkeeper.core.conversation import Citation, Foreign, Reasoning, Seal, Text, TokenLogprob, ToolUse
from tollkeeper.core.deltas import Delta, Finish, StopReason
from tollkeeper.core.translation import Identity, Sitting
from tollkeeper.dialects.gemini_generate import signatures, usage
from tollkeeper.dialects.gemini_generate.decoder import DIALECT, OUR_CALL, GeminiDecoder, decode

_encode = msgspec.json.encode
_REASONS: dict[StopReason, str] = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "compaction": "MAX_TOKENS",
    "refusal": "SAFETY",
    "filter": "SAFETY",
}


def read(body: bytes, sitting: Sitting) -> list[Delta]:
    """Raises ValueError where the body has neither candidates nor a reason why it has none."""
    found = decode(body)
    if not found.candidates and (found.promptFeedback is None or not found.promptFeedback.blockReason):
        raise ValueError("an answer without candidates")
    decoder = GeminiDecoder(sitting)
    return decoder.hear(found, body) + decoder.close()


def render(answer: Answer, identity: Identity) -> bytes:
    """The body of a GenerateContentResponse."""
    body: dict[str, Any] = {"candidates": [_candidate(index, choice) for index, choice in enumerate(answer.choices)]}
    found = usage.rendered(answer.reported)
    if found is not None:
        body["usageMetadata"] = found
    return _encode({**body, "modelVersion": answer.model or identity.model, "responseId": answer.id or identity.id})


def _candidate(index: int, choice: Choice) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
    text = ""
    for block in choice.blocks:
        if isinstance(block, Text):
            found = grounding(block.citations, block.text, text)
            text += block.text
            if found is not None:
                candidate["groundingMetadata"] = _joined(candidate.get("groundingMetadata"), found)
            if block.logprobs:
                candidate["logprobsResult"] = logprobs(block.logprobs)
        elif isinstance(block, Foreign) and block.dialect == DIALECT:
            foreign = msgspec.json.decode(block.data, type=dict[str, Any])
            if "groundingMetadata" in foreign:
                candidate |= foreign
                continue
        parts += _parts(block)
    return {**candidate, "finishReason": _REASONS.get(choice.stop, "STOP")}


def _joined(before: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Sources of one text after those of the texts before it."""
    if before is None:
        return found
    shift = len(before["groundingChunks"])
    supports = [
        {**support, "groundingChunkIndices": [number + shift for number in support["groundingChunkIndices"]]}
        for support in found["groundingSupports"]
    ]
    return {
        "groundingChunks": before["groundingChunks"] + found["groundingChunks"],
        "groundingSupports": before["groundingSupports"] + supports,
    }


def _parts(block: Said) -> list[dict[str, Any]]:
    if isinstance(block, Reasoning):
        said = [{"text": block.text, "thought": True}] if block.text else []
        return said + ([signature(block.seal, thought=not block.redacted)] if block.seal is not None else [])
    if isinstance(block, ToolUse):
        return [function_call(block.id, block.name, block.arguments, block.seal)]
    if isinstance(block, Foreign):
        return [msgspec.json.decode(block.data)] if block.dialect == DIALECT else []
    return [{"text": block.text}] if block.text or isinstance(block, Text) else []


def signature(seal: Seal, *, thought: bool) -> dict[str, Any]:
    """A part that has nothing but a signature."""
    part: dict[str, Any] = {"text": "", "thoughtSignature": signatures.told(seal)}
    return {**part, "thought": True} if thought else part


def function_call(name_of_call: str, name: str, arguments: str, seal: Seal | None) -> dict[str, Any]:
    """A part with a call; arguments that are no object travel as one."""
    try:
        given = msgspec.json.decode(arguments or "{}")
    except ValueError:
        given = {"input": arguments}
    call: dict[str, Any] = {"name": name, "args": given if isinstance(given, dict) else {"input": given}}
    if not name_of_call.startswith(OUR_CALL):
        call["id"] = name_of_call
    part: dict[str, Any] = {"functionCall": call}
    return part if seal is None else {**part, "thoughtSignature": signatures.told(seal)}


def finished(finish: Finish) -> dict[str, Any]:
    """The last word of a candidate."""
    empty = {"parts": [{"text": ""}], "role": "model"}
    return {"content": empty, "finishReason": _REASONS.get(finish.reason, "STOP"), "index": finish.choice}


def grounding(citations: Iterable[Citation], text: str, before: str = "") -> dict[str, Any] | None:
    """Sources that have an address, as groundingMetadata; None where there are none but Gemini's own."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for citation in citations:
        if citation.url is None or (citation.own is not None and citation.own.dialect == DIALECT):
            continue
        start = len(before.encode()) if citation.start is None else len((before + text)[: citation.start].encode())
        end = len((before + text).encode()) if citation.end is None else len((before + text)[: citation.end].encode())
        segment = {"startIndex": start, "endIndex": end}
        supports.append({"segment": segment, "groundingChunkIndices": [len(chunks)]})
        web = {"uri": citation.url, **({"title": citation.title} if citation.title else {})}
        chunks.append({"web": web})
    return {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None


def logprobs(likely: Iterable[TokenLogprob]) -> dict[str, Any]:
    """`logprobsResult`."""
    chosen, top = [], []
    for found in likely:
        chosen.append({"token": found.token, "logProbability": found.logprob})
        top.append({"candidates": [{"token": other.token, "logProbability": other.logprob} for other in found.top]})
    return {"chosenCandidates": chosen, "topCandidates": top}
