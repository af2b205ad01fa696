"""Conversations become requests of Ollama's /api/chat."""

from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    Block,
    Conversation,
    File,
    Image,
    Inline,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Words,
    tool_names,
)
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.ollama_chat.decoder import DIALECT

_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    losses = Losses(conversation, terms, DIALECT)
    messages = _Messages(conversation.turns, losses)
    body: dict[str, Any] = {"model": terms.model, "messages": messages.all(), "stream": conversation.stream}
    choice = conversation.tool_choice
    if conversation.tools and (choice is None or choice.mode != "none"):
        body["tools"] = [_tool(tool, losses) for tool in conversation.tools]
        if choice is not None and (choice.mode != "auto" or choice.names):
            losses.drop("tool_choice")
    options: dict[str, Any] = {}
    for name, value in conversation.sampling.said():
        if name == "n" and value != 1:
            raise losses.refused("n", "it answers once")
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        elif name in ("logprobs", "top_logprobs"):
            body[name] = value
        elif name != "n":
            losses.drop(name)
    if options:
        body["options"] = options
    output = conversation.output
    if output is not None:
        body["format"] = "json" if output.schema is None else output.schema
    thinking = conversation.thinking
    if thinking is not None:
        body["think"] = thinking.effort if thinking.effort in ("low", "medium", "high") else thinking.effort != "none"
    for name in ("verbosity", "tier"):
        if getattr(conversation, name) is not None:
            losses.drop(name)
    if conversation.parallel_tools is False and conversation.tools:
        losses.drop("parallel_tools")
    if conversation.end_user is not None:
        losses.note("end_user")
    if conversation.dialect == DIALECT:
        body |= conversation.own
    return Rendered(path="api/chat", body=msgspec.json.encode(body), dropped=losses.dropped)


def _tool(tool: object, losses: Losses) -> dict[str, Any]:
    if not isinstance(tool, Tool):
        raise losses.refused("tools", "only functions can be")
    if tool.cache is not None:
        losses.note("cache")
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
    return {"type": "function", "function": function}


class _Messages:
    """Turns on their way into messages."""

    def __init__(self, turns: tuple[Turn, ...], losses: Losses) -> None:
        self._turns = turns
        self._losses = losses
        self._called = tool_names(turns)

    def all(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        for turn in self._turns:
            if turn.name is not None:
                self._losses.drop("turn.name")
            if turn.role == "tool":
                messages += [self._result(block) for block in turn.blocks if isinstance(block, ToolResult)]
            else:
                role = "system" if turn.role == "developer" else turn.role
                messages.append({"role": role, **self._said(turn.blocks)})
        return messages

    def _result(self, block: ToolResult) -> dict[str, Any]:
        said = self._said(block.content)
        if block.failed:
            said["content"] = f"Error: {said['content']}"
        name = block.name or self._called.get(block.id) or block.id
        return {"role": "tool", **said, "tool_name": name, "tool_call_id": block.id}

    def _said(self, blocks: tuple[Block, ...]) -> dict[str, Any]:
        texts: list[str] = []
        said: dict[str, Any] = {"content": ""}
        for block in blocks:
            if getattr(block, "cache", None) is not None:
                self._losses.note("cache")
            if isinstance(block, (Text, Refusal)):
                texts.append(block.text)
            elif isinstance(block, Reasoning):
                self._reasoning(block, said)
            elif isinstance(block, ToolUse):
                said.setdefault("tool_calls", []).append(self._call(block))
            elif isinstance(block, Image) and isinstance(block.source, Inline):
                said.setdefault("images", []).append(block.source.data)
            elif isinstance(block, File) and isinstance(block.source, Words):
                texts.append(block.source.text)
            else:
                what = {"Image": "image", "File": "file", "Audio": "audio"}.get(type(block).__name__, "foreign")
                raise self._losses.refused(what, "only texts and images in the request itself can be")
        said["content"] = "".join(texts)
        return said

    def _reasoning(self, block: Reasoning, said: dict[str, Any]) -> None:
        if block.seal is not None:
            self._losses.note("seal")
        if block.text:
            said["thinking"] = said.get("thinking", "") + block.text

    def _call(self, block: ToolUse) -> dict[str, Any]:
        if block.seal is not None:
            self._losses.note("seal")
        try:
            given = msgspec.json.decode(block.arguments or "{}")
        except ValueError:
            given = {"input": block.arguments}
        return {"id": block.id, "function": {"name": block.name, "arguments": given}}
