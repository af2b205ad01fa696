"""Conversations become requests of Ollama's /api/chat.

Rule 1: it takes pictures in the request itself, beside a message's words, and no other files but plain text.
Rule 2: a tool's result is text; pictures in it follow in a user's message, after the whole run of results.
Rule 3: it cannot be made to call a tool; tools that are not allowed are not shown to it.
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
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
    tool_names,
)
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.ollama_chat import shapes
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
_OWN = (DIALECT, "ollama_generate")
_BESIDE = frozenset(("logprobs", "top_logprobs"))
_LEVELS = {"minimal": "low", "xhigh": "high", "max": "high"}
_LOW, _HIGH = 2048, 12_000
"""Budgets of tokens below and above which thinking is low and high."""
_NO_ARGUMENTS = {"type": "object", "properties": {}}
_OPTION = "options."


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    own = conversation.dialect in _OWN
    losses = Losses(conversation, terms, conversation.dialect if own else DIALECT)
    if own and conversation.essential:
        raise losses.refused(conversation.essential[0], "it is asked as a chat")
    body: dict[str, Any] = {
        "model": terms.model,
        "messages": _Messages(losses).of(conversation.turns),
        "stream": conversation.stream,
    }
    tools = _tools(conversation, losses)
    if tools:
        body["tools"] = tools
    if conversation.output is not None:
        body["format"] = "json" if conversation.output.kind == "json" else conversation.output.schema
    if conversation.thinking is not None:
        body["think"] = _think(conversation.thinking, terms.model)
    options = _sampling(conversation, body, losses)
    for name in ("verbosity", "end_user", "tier"):
        if getattr(conversation, name) is not None:
            losses.drop(name)
    if own:
        for name, value in conversation.own.items():
            if name.startswith(_OPTION):
                options[name[len(_OPTION) :]] = value
            else:
                body[name] = value
    if options:
        body["options"] = options
    return Rendered(path="api/chat", body=msgspec.json.encode(body), dropped=losses.dropped)


def _sampling(conversation: Conversation, body: dict[str, Any], losses: Losses) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in conversation.sampling.said():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        elif name in _BESIDE:
            body[name] = value
        elif name == "n":
            if value != 1:
                raise losses.refused("n", "it gives one answer")
        else:
            losses.drop(name)
    return options


def _think(thinking: Thinking, model: str) -> bool | str:
    """gpt-oss takes a level and always thinks; others do or do not (https://docs.ollama.com/capabilities/thinking)."""
    if "gpt-oss" not in model:
        return thinking.effort != "none"
    effort, budget = thinking.effort, thinking.budget
    if effort is None and budget is not None:
        effort = "low" if budget <= _LOW else "high" if budget > _HIGH else "medium"
    if effort in (None, "none"):
        return effort is None
    return _LEVELS.get(effort, effort)


# --- tools ----------------------------------------------------------------------------------------------------------


def _tools(conversation: Conversation, losses: Losses) -> list[dict[str, Any]]:
    choice = conversation.tool_choice or ToolChoice("auto")
    if conversation.parallel_tools is False and conversation.tools:
        losses.drop("parallel_tools")
    if choice.mode in ("required", "named"):
        losses.drop("tool_choice")
    told = [_tool(tool, losses) for tool in conversation.tools]
    if choice.mode == "none":
        return []
    allowed = set(choice.names)
    return [tool for tool in told if not allowed or tool.get("function", {}).get("name") in allowed]


def _tool(tool: AnyTool, losses: Losses) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        raise losses.refused("tools.custom", "tools take JSON here, not free text")
    if not isinstance(tool, Tool):
        if tool.dialect not in _OWN:
            raise losses.refused("tools", "a tool that the provider itself runs")
        return msgspec.json.decode(tool.data, type=dict[str, Any])
    if tool.cache is not None:
        losses.note("cache")
    if tool.strict:
        losses.note("tools.strict")
    function: dict[str, Any] = {"name": tool.name, "parameters": _NO_ARGUMENTS if tool.schema is None else tool.schema}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


# --- messages -------------------------------------------------------------------------------------------------------


class _Messages:
    """Turns on their way into messages."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def of(self, turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
        called = tool_names(turns)
        out: list[dict[str, Any]] = []
        for turn in turns:
            if turn.name is not None:
                self._losses.note("turn.name")
            if turn.role == "tool":
                out += self._results(turn, called)
            else:
                role = "system" if turn.role == "developer" else turn.role
                message = self._message(role, turn.blocks)
                if len(message) > 2 or message["content"]:
                    out.append(message)
        return out

    def _message(self, role: str, blocks: tuple[Block, ...]) -> dict[str, Any]:
        texts: list[str] = []
        pictures: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        for block in blocks:
            if isinstance(block, ToolUse):
                if block.seal is not None:
                    self._losses.note("seal")
                calls.append(shapes.call(block.id, block.name, block.arguments))
            elif isinstance(block, Reasoning):
                if block.seal is not None:
                    self._losses.note("seal")
                if block.text:
                    thoughts.append(block.text)
            elif isinstance(block, Image):
                pictures.append(self._picture(block))
            else:
                texts += self._words(block, said=role == "assistant")
        message: dict[str, Any] = {"role": role, "content": ("" if role == "assistant" else "\n\n").join(texts)}
        if pictures:
            message["images"] = pictures
        if thoughts:
            message["thinking"] = "".join(thoughts)
        if calls:
            message["tool_calls"] = calls
        return message

    def _picture(self, block: Image) -> str:
        if block.cache is not None:
            self._losses.note("cache")
        if block.detail not in (None, "auto"):
            self._losses.note("image.detail")
        if not isinstance(block.source, Inline):
            raise self._losses.refused("image", "only pictures in the request itself can be")
        return block.source.data

    def _words(self, block: Block, *, said: bool) -> list[str]:
        if isinstance(block, (Text, File)) and block.cache is not None:
            self._losses.note("cache")
        if isinstance(block, (Text, Refusal)):
            return [block.text] if block.text else []
        if isinstance(block, File) and isinstance(block.source, Words):
            if block.cited or block.context:
                self._losses.note("file.citations" if block.cited else "file.context")
            return [block.source.text if not block.name else f"{block.name}\n\n{block.source.text}"]
        if isinstance(block, File):
            raise self._losses.refused("file", "only files of plain text can be")
        if isinstance(block, Audio):
            raise self._losses.refused("audio", "it takes no sound")
        if isinstance(block, Foreign) and said:
            self._losses.note("foreign")  # a hosted tool's call in the history: its findings are in the words
            return []
        raise self._losses.refused("foreign", "content that only its own dialect knows")

    def _results(self, turn: Turn, called: dict[str, str]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        hoisted: list[dict[str, Any]] = []
        for result in turn.blocks:
            if not isinstance(result, ToolResult):
                continue
            if result.cache is not None:
                self._losses.note("cache")
            name = result.name or called.get(result.id) or result.id
            pictures = [self._picture(block) for block in result.content if isinstance(block, Image)]
            words = [block for block in result.content if not isinstance(block, Image)]
            text = "\n".join(word for block in words for word in self._words(block, said=False))
            if pictures:
                hoisted.append({"role": "user", "content": f"From the result of {name}:", "images": pictures})
                text = text or "(see below)"
            if result.failed:
                text = f"Error: {text}"
            out.append({"role": "tool", "content": text, "tool_name": name, "tool_call_id": result.id})
        return out + hoisted
