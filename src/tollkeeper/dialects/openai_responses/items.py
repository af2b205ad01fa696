"""Items of a response's output, and what a response repeats of its request."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
    Citation,
    Conversation,
    CustomTool,
    Foreign,
    OutputFormat,
    Seal,
    TokenLogprob,
    Tool,
    ToolChoice,
)
from tollkeeper.core.deltas import Failure, StopReason
from tollkeeper.core.seals import wrapped
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.openai_responses.decoder import DIALECT

_INCOMPLETE: dict[StopReason, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "compaction": "max_output_tokens",
    "filter": "content_filter",
    "refusal": "content_filter",
}


def message(name: str, parts: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": parts}


def text_part(text: str, annotations: list[dict[str, Any]], likely: Iterable[TokenLogprob] = ()) -> dict[str, Any]:
    return {"type": "output_text", "annotations": annotations, "logprobs": logprobs(likely), "text": text}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def reasoning(name: str, text: str, sealed: str | None) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, Any] = {"id": name, "type": "reasoning", "summary": summary}
    return item if sealed is None else {**item, "encrypted_content": sealed}


def call(name: str, call_id: str, tool: str, text: str, custom: bool, status: str = "completed") -> dict[str, Any]:
    kind, field = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
    return {"id": name, "type": kind, "status": status, field: text, "call_id": call_id, "name": tool}


def sealed(seal: Seal, *, of_call: bool = False) -> str:
    """How a client of this dialect gets a seal: always with its origin, as an item's id is part of OpenAI's own."""
    return wrapped(seal, "", of_call=of_call)


def annotation(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """A `url_citation` of the words from `start` to `end`; None for sources that have no address."""
    if citation.own is not None and citation.own.dialect == DIALECT:
        return msgspec.json.decode(citation.own.data, type=dict[str, Any])
    if citation.url is None:
        return None
    found: dict[str, Any] = {
        "type": "url_citation",
        "start_index": start if citation.start is None else citation.start,
        "end_index": end if citation.end is None else citation.end,
        "title": citation.title or "",
        "url": citation.url,
    }
    return found if citation.text is None else {**found, "content": citation.text}


def logprobs(likely: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    return [
        {
            "token": found.token,
            "logprob": found.logprob,
            "bytes": found.bytes,
            "top_logprobs": [{"token": top.token, "logprob": top.logprob, "bytes": top.bytes} for top in found.top],
        }
        for found in likely
    ]


def usage(reported: Reported | None) -> dict[str, Any] | None:
    """With both details: strict clients count on them."""
    if reported is None:
        return None
    found = reported.usage
    return {
        "input_tokens": found.input_tokens,
        "input_tokens_details": {
            "cached_tokens": found.cached_input_tokens,
            "cache_write_tokens": found.cache_write_tokens,
        },
        "output_tokens": found.output_tokens,
        "output_tokens_details": {"reasoning_tokens": found.reasoning_tokens},
        "total_tokens": found.input_tokens + found.output_tokens,
    }


def response(
    name: str,
    created: int,
    model: str,
    asked: Conversation | None,
    *,
    status: str,
    output: list[dict[str, Any]],
    reported: Reported | None = None,
    incomplete: str | None = None,
    failure: Failure | None = None,
) -> dict[str, Any]:
    """A whole Response object: clients decode all of it in the first event already."""
    error = None if failure is None else {"code": failure.code or "server_error", "message": failure.message}
    return {
        "id": name,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": error,
        "incomplete_details": None if incomplete is None else {"reason": incomplete},
        "model": model,
        "output": output,
        "usage": usage(reported),
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        **_repeated(asked),
    }


def ended(reason: StopReason, output: list[dict[str, Any]]) -> tuple[str, str | None]:
    """The status, and why it is incomplete. A refusal in words of its own is complete."""
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    refused = reason == "refusal" and any(part["type"] == "refusal" for part in parts)
    why = None if refused else _INCOMPLETE.get(reason)
    return ("completed", None) if why is None else ("incomplete", why)


def _repeated(asked: Conversation | None) -> dict[str, Any]:
    if asked is None:
        asked = Conversation(dialect=DIALECT, model=None, turns=())
    thinking, sampling = asked.thinking, asked.sampling
    instructions = asked.own.get("instructions")
    return {
        "instructions": instructions,
        "max_output_tokens": sampling.max_tokens,
        "metadata": asked.own.get("metadata") or {},
        "parallel_tool_calls": asked.parallel_tools is not False,
        "reasoning": {
            "effort": thinking.effort if thinking is not None else None,
            "summary": thinking.show if thinking is not None else None,
        },
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": {"format": format_of(asked.output), **({"verbosity": asked.verbosity} if asked.verbosity else {})},
        "tool_choice": "auto" if asked.tool_choice is None else tool_choice(asked.tool_choice, asked.tools),
        "tools": [tool(found) for found in asked.tools],
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "user": asked.end_user,
    }


def format_of(output: OutputFormat | None) -> dict[str, Any]:
    """`text.format`."""
    if output is None:
        return {"type": "text"}
    if output.kind == "json":
        return {"type": "json_object"}
    given = {
        "type": "json_schema",
        "name": output.name or "answer",
        "description": output.description,
        "schema": output.schema,
        "strict": output.strict,
    }
    return {name: value for name, value in given.items() if value is not None}


def tool(found: AnyTool) -> dict[str, Any]:
    """One of `tools`; a foreign one as its dialect wrote it."""
    if isinstance(found, Foreign):
        return msgspec.json.decode(found.data, type=dict[str, Any])
    if isinstance(found, CustomTool):
        given: dict[str, Any] = {"type": "custom", "name": found.name, "description": found.description}
        return {name: value for name, value in {**given, "format": found.format}.items() if value is not None}
    return function(found, found.name)


def function(found: Tool, name: str) -> dict[str, Any]:
    """`strict` has to be said: left out it would be true here, and false elsewhere."""
    return {
        "type": "function",
        "name": name,
        "description": found.description,
        "parameters": {"type": "object", "properties": {}} if found.schema is None else found.schema,
        "strict": bool(found.strict),
    }


def tool_choice(choice: ToolChoice, tools: tuple[AnyTool, ...]) -> str | dict[str, Any]:
    custom = {found.name for found in tools if isinstance(found, CustomTool)}
    named = [{"type": "custom" if name in custom else "function", "name": name} for name in choice.names]
    if choice.mode == "named" and named:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named} if named else choice.mode
