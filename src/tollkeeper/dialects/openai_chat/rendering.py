"""Conversations become requests of Chat Completions.

Rule 1: tool results directly follow the call; images and files in them follow in a user's message of their own, after the
        whole run of results: a tool's message takes text only.
Rule 2: reasoning goes back only where the provider wants it, and seals only to their origin.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
    Audio,
    Block,
    Conversation,
    CustomTool,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    OutputFormat,
    Reasoning,
    Refusal,
    Stored,
    Text,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
    tool_names,
)
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects import efforts, media
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.openai_chat.answer import google_extra
from tollkeeper.dialects.openai_chat.decoder import DIALECT
from tollkeeper.dialects.tool_names import ToolNames

_LONGEST_NAME = 64
_LONGEST_USER = 64
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logit_bias": "logit_bias",
    "n": "n",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}
_NO_ARGUMENTS = {"type": "object", "properties": {}}


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    losses = Losses(conversation, terms, DIALECT)
    names = ToolNames((tool.name for tool in conversation.tools if not isinstance(tool, Foreign)), _LONGEST_NAME)
    body: dict[str, Any] = {"model": terms.model, "messages": _Messages(terms, losses, names).of(conversation.turns)}
    tools = [_tool(tool, losses, names) for tool in conversation.tools]
    if tools:
        body["tools"] = tools
        if conversation.tool_choice is not None:
            body["tool_choice"] = _tool_choice(conversation.tool_choice, conversation.tools, names)
        if conversation.parallel_tools is not None:
            body["parallel_tool_calls"] = conversation.parallel_tools
    if conversation.output is not None:
        body["response_format"] = _output(conversation.output)
    for name, value in conversation.sampling.said():
        if name == "max_tokens":
            body[terms.limit_field] = value
        elif name in _SAMPLING:
            body[_SAMPLING[name]] = value
        else:
            losses.drop(name)
    effort = efforts.openai_effort(conversation)
    if effort is not None:
        body["reasoning_effort"] = effort
    if conversation.verbosity is not None:
        body["verbosity"] = conversation.verbosity
    if conversation.end_user is not None:
        body["user"] = conversation.end_user[:_LONGEST_USER]
    if conversation.tier is not None:
        tier = efforts.openai_tier(conversation)
        if tier is None:
            losses.drop("tier")
        else:
            body["service_tier"] = tier
    if conversation.stream:
        body["stream"] = True
        if terms.reports_stream_usage:
            body["stream_options"] = {"include_usage": True}
    if conversation.dialect == DIALECT:
        body |= conversation.own
    return Rendered(
        path="chat/completions", body=msgspec.json.encode(body), dropped=losses.dropped, renamed=names.renamed
    )


# --- tools ----------------------------------------------------------------------------------------------------------


def _tool(tool: AnyTool, losses: Losses, names: ToolNames) -> dict[str, Any]:
    if isinstance(tool, Foreign):
        if tool.dialect != DIALECT:
            raise losses.refused("tools", "a tool that the provider itself runs")
        return msgspec.json.decode(tool.data, type=dict[str, Any])
    if isinstance(tool, CustomTool):
        free = {"name": names.told(tool.name), "description": tool.description, "format": tool.format}
        return {"type": "custom", "custom": _said(free)}
    if tool.cache is not None:
        losses.note("cache")
    given: dict[str, Any] = {
        "name": names.told(tool.name),
        "description": tool.description,
        "parameters": _NO_ARGUMENTS if tool.schema is None else tool.schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": _said(given)}


def _tool_choice(choice: ToolChoice, tools: tuple[AnyTool, ...], names: ToolNames) -> str | dict[str, Any]:
    custom = {tool.name for tool in tools if isinstance(tool, CustomTool)}
    named = []
    for name in choice.names:
        kind = "custom" if name in custom else "function"
        named.append({"type": kind, kind: {"name": names.told(name)}})
    if choice.mode == "named" and named:
        return named[0]
    if not named:
        return choice.mode
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


def _output(output: OutputFormat) -> dict[str, Any]:
    if output.kind == "json":
        return {"type": "json_object"}
    given = {
        "name": output.name or "answer",
        "description": output.description,
        "schema": output.schema,
        "strict": output.strict,
    }
    return {"type": "json_schema", "json_schema": _said(given)}


def _said(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


# --- messages -------------------------------------------------------------------------------------------------------


class _Messages:
    """Turns on their way into messages."""

    def __init__(self, terms: Terms, losses: Losses, names: ToolNames) -> None:
        self._terms = terms
        self._losses = losses
        self._names = names

    def of(self, turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
        called = tool_names(turns)
        out: list[dict[str, Any]] = []
        for turn in turns:
            if turn.role == "tool":
                out += self._results(turn, called)
            elif turn.role == "assistant":
                out.append(self._named(turn, self._assistant(turn)))
            else:
                role = "system" if turn.role == "developer" else turn.role
                out.append(self._named(turn, {"role": role, "content": self._content(turn.blocks)}))
        return out

    def _named(self, turn: Turn, message: dict[str, Any]) -> dict[str, Any]:
        return message if turn.name is None else {**message, "name": turn.name}

    def _results(self, turn: Turn, called: dict[str, str]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        hoisted: list[dict[str, Any]] = []
        for result in turn.blocks:
            if not isinstance(result, ToolResult):
                continue
            parts = [self._part(block) for block in result.content]
            texts = [part for part in parts if part["type"] == "text"]
            others = [part for part in parts if part["type"] != "text"]
            text = "\n".join(part["text"] for part in texts)
            if others:
                name = result.name or called.get(result.id) or result.id
                hoisted += [{"type": "text", "text": f"From the result of {name}:"}, *others]
                text = text or "(see below)"
            if result.failed:
                text = f"Error: {text}"
            if result.cache is not None:
                self._losses.note("cache")
            out.append({"role": "tool", "tool_call_id": result.id, "content": text})
        if hoisted:
            out.append({"role": "user", "content": hoisted})
        return out

    def _content(self, blocks: tuple[Block, ...]) -> str | list[dict[str, Any]]:
        parts = [self._part(block) for block in blocks]
        if len(parts) == 1 and parts[0]["type"] == "text":
            text: str = parts[0]["text"]
            return text
        return parts

    def _part(self, block: Block) -> dict[str, Any]:
        if isinstance(block, (Text, Image, File)) and block.cache is not None:
            self._losses.note("cache")
        if isinstance(block, Text):
            return {"type": "text", "text": block.text}
        if isinstance(block, Image):
            if isinstance(block.source, (Inline, Link)):
                place = {"url": media.url_of(block.source), "detail": block.detail}
                return {"type": "image_url", "image_url": _said(place)}
            raise self._losses.refused("image", "a file stored elsewhere")
        if isinstance(block, File):
            return self._file(block)
        if isinstance(block, Audio):
            return {"type": "input_audio", "input_audio": {"data": block.data, "format": block.format}}
        if isinstance(block, Foreign) and block.dialect == DIALECT:
            return msgspec.json.decode(block.data, type=dict[str, Any])
        raise self._losses.refused("foreign", "content that only its own dialect knows")

    def _file(self, block: File) -> dict[str, Any]:
        source = block.source
        if block.cited or block.context:
            self._losses.note("file.citations" if block.cited else "file.context")
        if isinstance(source, Words):
            return {"type": "text", "text": source.text if not block.name else f"{block.name}\n\n{source.text}"}
        if isinstance(source, Inline):
            place = {"filename": block.name or "file", "file_data": media.url_of(source)}
            return {"type": "file", "file": place}
        if isinstance(source, Stored) and source.dialect.startswith("openai_"):
            return {"type": "file", "file": {"file_id": source.id}}
        raise self._losses.refused("file", "only files in the request itself can be")

    def _assistant(self, turn: Turn) -> dict[str, Any]:
        texts: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        message: dict[str, Any] = {"role": "assistant"}
        for block in turn.blocks:
            if isinstance(block, ToolUse):
                calls.append(self._call(block))
            elif isinstance(block, Reasoning):
                self._reasoning(block, message)
            elif isinstance(block, Refusal):
                message["refusal"] = message.get("refusal", "") + block.text
            elif isinstance(block, Foreign) and block.dialect != DIALECT:
                self._losses.note("foreign")  # a hosted tool's call in the history: its findings are in the words
            else:
                texts.append(self._part(block))
        plain = all(part["type"] == "text" for part in texts)
        message["content"] = "".join(part["text"] for part in texts) if plain and texts else texts or None
        if calls:
            message["tool_calls"] = calls
        return message

    def _call(self, block: ToolUse) -> dict[str, Any]:
        name = self._names.told(block.name)
        if block.custom:
            call: dict[str, Any] = {"type": "custom", "custom": {"name": name, "input": block.arguments}}
        else:
            call = {"type": "function", "function": {"name": name, "arguments": block.arguments or "{}"}}
        if block.seal is not None:
            if block.seal.origin in (self._terms.origin, DIALECT):
                call["extra_content"] = google_extra(msgspec.structs.replace(block.seal, origin=DIALECT))
            else:
                self._losses.note("seal")
        return {"id": block.id, **call}

    def _reasoning(self, block: Reasoning, message: dict[str, Any]) -> None:
        if block.text and self._terms.replays_reasoning:
            message["reasoning_content"] = message.get("reasoning_content", "") + block.text
        elif block.text and block.seal is None:
            self._losses.note("reasoning")
        if block.seal is None:
            return
        if block.seal.origin not in (self._terms.origin, DIALECT) or not block.seal.value.startswith("{"):
            self._losses.note("seal")
            return
        detail = msgspec.json.decode(block.seal.value, type=dict[str, Any])
        if block.text:
            detail["summary" if detail.get("type") == "reasoning.summary" else "text"] = block.text
        details = message.setdefault("reasoning_details", [])
        details.append({**detail, "index": len(details)})
