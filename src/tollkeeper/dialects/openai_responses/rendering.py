"""Conversations become requests of the Responses API.

Rule 1: nothing is stored for a client of another dialect, and encrypted reasoning is asked for: it is what lets the model
        think on in the next round.
Rule 2: reasoning goes back as the item it was, with its id, and only to its origin.
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
    Reasoning,
    Refusal,
    Stored,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects import efforts, media
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.openai_responses import items
from tollkeeper.dialects.openai_responses.decoder import DIALECT
from tollkeeper.dialects.tool_names import ToolNames

_LONGEST_NAME = 64
_LONGEST_USER = 64
_LEAST_TOKENS = 16
"""OpenAI refuses a lower max_output_tokens."""
_SHOWN = frozenset(("auto", "concise", "detailed"))


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    losses = Losses(conversation, terms, DIALECT)
    names = ToolNames((tool.name for tool in conversation.tools if not isinstance(tool, Foreign)), _LONGEST_NAME)
    turns = conversation.turns
    body: dict[str, Any] = {"model": terms.model}
    if turns and turns[0].role == "system" and len(turns[0].blocks) == 1 and isinstance(turns[0].blocks[0], Text):
        body["instructions"] = turns[0].blocks[0].text
        if turns[0].blocks[0].cache is not None:
            losses.note("cache")
        turns = turns[1:]
    body["input"] = _Items(terms, losses, names).of(turns)
    if conversation.tools:
        body["tools"] = [_tool(tool, losses, names) for tool in conversation.tools]
        choice = conversation.tool_choice
        if choice is not None:
            told = msgspec.structs.replace(choice, names=tuple(names.told(name) for name in choice.names))
            body["tool_choice"] = items.tool_choice(told, _told(conversation.tools, names))
        if conversation.parallel_tools is not None:
            body["parallel_tool_calls"] = conversation.parallel_tools
    text = {"format": items.format_of(conversation.output)} if conversation.output is not None else {}
    if conversation.verbosity is not None:
        text["verbosity"] = conversation.verbosity  # type: ignore[assignment]
    if text:
        body["text"] = text
    include = ["reasoning.encrypted_content"]
    _sample(conversation, body, include, losses)
    _think(conversation, body)
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
    body |= {"store": False, "include": include}
    if conversation.dialect == DIALECT:
        body |= {**conversation.own, "include": include + conversation.own.get("include", [])}
    return Rendered(path="responses", body=msgspec.json.encode(body), dropped=losses.dropped, renamed=names.renamed)


def _sample(conversation: Conversation, body: dict[str, Any], include: list[str], losses: Losses) -> None:
    for name, value in conversation.sampling.said():
        if name == "max_tokens":
            body["max_output_tokens"] = max(_LEAST_TOKENS, value)
            if value < _LEAST_TOKENS:
                losses.note(name)
        elif name in ("temperature", "top_p", "top_logprobs"):
            body[name] = value
        elif name == "logprobs":
            include += ["message.output_text.logprobs"] if value else []
        elif name == "n" and value != 1:
            raise losses.refused("n", "it answers once")
        elif name != "n":
            losses.drop(name)


def _think(conversation: Conversation, body: dict[str, Any]) -> None:
    thinking, effort = conversation.thinking, efforts.openai_effort(conversation)
    if thinking is None:
        return
    asked = {} if effort is None else {"effort": effort}
    if thinking.show in _SHOWN:
        asked["summary"] = thinking.show
    elif (
        conversation.dialect not in ("openai_chat", DIALECT)
        and thinking.show != "omitted"
        and thinking.effort != "none"
    ):
        asked["summary"] = "auto"  # their clients expect to read thoughts that they have asked for
    if asked:
        body["reasoning"] = asked


def _told(tools: tuple[AnyTool, ...], names: ToolNames) -> tuple[AnyTool, ...]:
    return tuple(
        msgspec.structs.replace(tool, name=names.told(tool.name)) for tool in tools if isinstance(tool, CustomTool)
    )


def _tool(tool: AnyTool, losses: Losses, names: ToolNames) -> dict[str, Any]:
    if isinstance(tool, Foreign) and tool.dialect != DIALECT:
        raise losses.refused("tools", "a tool that the provider itself runs")
    if isinstance(tool, Tool):
        if tool.cache is not None:
            losses.note("cache")
        return items.function(tool, names.told(tool.name))
    if isinstance(tool, CustomTool):
        return items.tool(msgspec.structs.replace(tool, name=names.told(tool.name)))
    return items.tool(tool)


# --- input ----------------------------------------------------------------------------------------------------------


class _Items:
    """Turns on their way into items."""

    def __init__(self, terms: Terms, losses: Losses, names: ToolNames) -> None:
        self._terms = terms
        self._losses = losses
        self._names = names
        self._custom: set[str] = set()
        """Ids of calls of custom tools: their results are items of another type."""

    def of(self, turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for turn in turns:
            if turn.name is not None:
                self._losses.drop("turn.name")
            if turn.role == "assistant":
                out += self._assistant(turn)
            elif turn.role == "tool":
                out += [self._result(block) for block in turn.blocks if isinstance(block, ToolResult)]
            else:
                content = [self._part(block) for block in turn.blocks]
                out.append({"type": "message", "role": turn.role, "content": content})
        return out

    def _assistant(self, turn: Turn) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for block in turn.blocks:
            if isinstance(block, (Text, Refusal)):
                if not out or out[-1]["type"] != "message":
                    out.append({"type": "message", "role": "assistant", "content": []})
                out[-1]["content"].append(self._said(block))
            elif isinstance(block, ToolUse):
                out.append(self._call(block))
            elif isinstance(block, Reasoning):
                out += self._reasoning(block)
            elif isinstance(block, Foreign) and block.dialect == DIALECT:
                out.append(msgspec.json.decode(block.data, type=dict[str, Any]))
            else:
                self._losses.note("foreign")  # a hosted tool's call in the history: its findings are in the words
        return out

    def _said(self, block: Text | Refusal) -> dict[str, Any]:
        if isinstance(block, Refusal):
            return items.refusal_part(block.text)
        if block.cache is not None:
            self._losses.note("cache")
        found = [items.annotation(citation, 0, len(block.text)) for citation in block.citations]
        annotations = [annotation for annotation in found if annotation is not None]
        if len(annotations) < len(found):
            self._losses.note("citations")
        return {"type": "output_text", "text": block.text, "annotations": annotations}

    def _call(self, block: ToolUse) -> dict[str, Any]:
        if block.seal is not None:
            self._losses.note("seal")
        if block.custom:
            self._custom.add(block.id)
        text = block.arguments or ("" if block.custom else "{}")
        kind, field = ("custom_tool_call", "input") if block.custom else ("function_call", "arguments")
        return {"type": kind, "call_id": block.id, "name": self._names.told(block.name), field: text}

    def _reasoning(self, block: Reasoning) -> list[dict[str, Any]]:
        seal = block.seal
        name, colon, sealed = seal.value.partition(":") if seal is not None else ("", "", "")
        if seal is None or seal.origin not in (self._terms.origin, DIALECT) or not colon:
            if block.text or seal is not None:
                self._losses.note("reasoning" if seal is None else "seal")
            return []
        return [items.reasoning(name, block.text, sealed)]

    def _result(self, block: ToolResult) -> dict[str, Any]:
        if block.cache is not None:
            self._losses.note("cache")
        parts = [self._part(inner) for inner in block.content]
        output: Any = parts
        if all(part["type"] == "input_text" for part in parts) and len(parts) < 2:
            output = "".join(part["text"] for part in parts)
            output = f"Error: {output}" if block.failed else output
        elif block.failed:
            output = [{"type": "input_text", "text": "Error:"}, *parts]
        kind = "custom_tool_call_output" if block.id in self._custom else "function_call_output"
        return {"type": kind, "call_id": block.id, "output": output}

    def _part(self, block: Block) -> dict[str, Any]:
        if isinstance(block, (Text, Image, File)) and block.cache is not None:
            self._losses.note("cache")
        if isinstance(block, Text):
            return {"type": "input_text", "text": block.text}
        if isinstance(block, Image):
            found: dict[str, Any] = {"type": "input_image", "detail": block.detail or "auto"}
            if isinstance(block.source, (Inline, Link)):
                return {**found, "image_url": media.url_of(block.source)}
            if isinstance(block.source, Stored) and block.source.dialect.startswith("openai_"):
                return {**found, "file_id": block.source.id}
            raise self._losses.refused("image", "a file stored elsewhere")
        if isinstance(block, File):
            return self._file(block)
        if isinstance(block, Audio):
            raise self._losses.refused("audio", "it does not hear")
        if isinstance(block, Foreign) and block.dialect == DIALECT:
            return msgspec.json.decode(block.data, type=dict[str, Any])
        raise self._losses.refused("foreign", "content that only its own dialect knows")

    def _file(self, block: File) -> dict[str, Any]:
        source = block.source
        if block.cited or block.context:
            self._losses.note("file.citations" if block.cited else "file.context")
        if isinstance(source, Words):
            return {"type": "input_text", "text": source.text if not block.name else f"{block.name}\n\n{source.text}"}
        if isinstance(source, Link):
            return {"type": "input_file", "file_url": source.url}
        if isinstance(source, Inline):
            return {"type": "input_file", "filename": block.name or "file", "file_data": media.url_of(source)}
        if source.dialect.startswith("openai_"):
            return {"type": "input_file", "file_id": source.id}
        raise self._losses.refused("file", "a file stored elsewhere")
