"""Conversations become requests of Anthropic Messages.

Rule 1: results answer the calls of the turn right before, all of them in one user's message, before any words.
Rule 2: no empty text; ids and names of Anthropic's alphabet; tools stay listed though none may be used, because the
        history has calls of them.
Rule 3: reasoning goes back with a seal of Anthropic's own (of this provider's), or not at all.
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
    Source,
    Stored,
    Text,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from tollkeeper.core.errors import CallerError
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.dialects.anthropic_messages import answer, ids, thinking
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT
from tollkeeper.dialects.anthropic_messages.models import Facts, facts
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.tool_names import ToolNames

VERSION = (b"anthropic-version", b"2023-06-01")
"""The last one that takes sampling parameters; the stream's format has not changed since."""
_LONGEST_NAME = 128
_IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_MODES = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}
_SAMPLING = frozenset(("temperature", "top_p", "top_k"))
_NO_ARGUMENTS = {"type": "object", "properties": {}}


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    losses = Losses(conversation, terms, DIALECT)
    known = facts(terms.model)
    names = ToolNames((tool.name for tool in conversation.tools if not isinstance(tool, Foreign)), _LONGEST_NAME)
    messages = _Messages(terms, losses, names, known)
    system, turns = messages.of(conversation.turns)
    body: dict[str, Any] = {"model": terms.model, "messages": turns}
    if system:
        body["system"] = system
    asked = conversation.sampling.max_tokens
    body["max_tokens"] = asked if asked is not None else terms.output_limit or known.output_limit
    _tools(conversation, body, losses, names)
    thoughtful = thinking.asked(conversation, body, known, losses)
    _sample(conversation, body, known, losses, thoughtful)
    _format(conversation, body, known, losses)
    if conversation.end_user is not None:
        body["metadata"] = {"user_id": conversation.end_user}
    if conversation.tier is not None:
        _tier(conversation, body, losses)
    if conversation.verbosity is not None:
        losses.drop("verbosity")
    if conversation.stream:
        body["stream"] = True
    if conversation.dialect == DIALECT:
        body |= conversation.own
    return Rendered(
        path="messages",
        body=msgspec.json.encode(body),
        headers=(VERSION,),
        dropped=losses.dropped,
        renamed=names.renamed,
        filled="max_tokens" if asked is None and "max_tokens" not in conversation.own else None,
    )


def _sample(conversation: Conversation, body: dict[str, Any], known: Facts, losses: Losses, thoughtful: bool) -> None:
    for name, value in conversation.sampling.said():
        if name == "max_tokens" or (name == "n" and value == 1) or (name == "logprobs" and not value):
            continue
        if name == "n":
            raise losses.refused("n", "it answers once")
        if name == "stop":
            stops = [stop for stop in value if stop.strip()]
            if stops:
                body["stop_sequences"] = stops
        elif name in _SAMPLING and known.sampling and not (thoughtful and value != 1):
            if name == "temperature" and value > 1:
                losses.note(name)
                value = 1.0
            if name == "top_p" and "temperature" in body:
                losses.drop(name)  # newer models take one of the two
            else:
                body[name] = value
        else:
            losses.drop(name)


def _format(conversation: Conversation, body: dict[str, Any], known: Facts, losses: Losses) -> None:
    output = conversation.output
    if output is None:
        return
    if output.kind == "json" or output.schema is None:
        losses.drop("output")
    elif known.schema:
        body["output_config"] = {
            **body.get("output_config", {}),
            "format": {"type": "json_schema", "schema": output.schema},
        }
    else:
        losses.drop("output")


def _tier(conversation: Conversation, body: dict[str, Any], losses: Losses) -> None:
    if conversation.dialect == DIALECT:
        body["service_tier"] = conversation.tier
    elif conversation.tier == "default":
        body["service_tier"] = "standard_only"
    elif conversation.tier != "auto":
        losses.drop("tier")


# --- tools ----------------------------------------------------------------------------------------------------------


def _tools(conversation: Conversation, body: dict[str, Any], losses: Losses, names: ToolNames) -> None:
    choice = conversation.tool_choice
    tools = [_tool(tool, losses, names) for tool in conversation.tools]
    if choice is not None and choice.names and choice.mode != "named":
        allowed = {names.told(name) for name in choice.names}
        tools = [tool for tool in tools if tool["name"] in allowed]
    if not tools:
        return
    body["tools"] = tools
    mode = _choice(choice, names)
    if conversation.parallel_tools is False and (mode is None or mode["type"] != "none"):
        mode = {**(mode or {"type": "auto"}), "disable_parallel_tool_use": True}
    elif conversation.parallel_tools is True and conversation.dialect == DIALECT and mode is not None:
        mode = {**mode, "disable_parallel_tool_use": False}
    if mode is not None:
        body["tool_choice"] = mode


def _tool(tool: AnyTool, losses: Losses, names: ToolNames) -> dict[str, Any]:
    if isinstance(tool, Foreign):
        if tool.dialect != DIALECT:
            raise losses.refused("tools", "a tool that the provider itself runs")
        return msgspec.json.decode(tool.data, type=dict[str, Any])
    if isinstance(tool, CustomTool):
        raise losses.refused("tools.custom", "tools take JSON here, not free text")
    schema = _NO_ARGUMENTS if tool.schema is None else tool.schema
    if schema.get("type") != "object":
        schema = {**schema, "type": "object"}
    given: dict[str, Any] = {"name": names.told(tool.name)}
    if tool.description is not None:
        given["description"] = tool.description
    given["input_schema"] = schema
    if tool.strict is not None:
        given["strict"] = tool.strict
    return _cached(given, tool.cache)


def _choice(choice: ToolChoice | None, names: ToolNames) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice.mode == "named" and choice.names:
        return {"type": "tool", "name": names.told(choice.names[0])}
    return {"type": _MODES[choice.mode]}


def _cached(given: dict[str, Any], cache: str | None) -> dict[str, Any]:
    if cache is None:
        return given
    return {**given, "cache_control": {"type": "ephemeral", **({"ttl": cache} if cache in ("5m", "1h") else {})}}


# --- messages -------------------------------------------------------------------------------------------------------


class _Messages:
    """Turns on their way into messages."""

    def __init__(self, terms: Terms, losses: Losses, names: ToolNames, known: Facts) -> None:
        self._terms = terms
        self._losses = losses
        self._names = names
        self._known = known

    def of(self, turns: tuple[Turn, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The instructions at the beginning, and the messages."""
        system: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        for turn in turns:
            if turn.name is not None:
                self._losses.drop("turn.name")
            role = "user" if turn.role == "tool" else turn.role
            content = [part for block in turn.blocks for part in self._block(block)]
            if role in ("system", "developer"):
                if not messages:
                    system += content
                    continue
                role = "system" if self._known.later_system else "user"
                if role == "user":
                    self._losses.note("later_instructions")
            if not content:
                continue
            before = messages[-1] if messages else None
            if before is not None and role == "user" == before["role"] and self._answers(before):
                before["content"] += content
            else:
                messages.append({"role": role, "content": content})
        return system, messages

    @staticmethod
    def _answers(message: dict[str, Any]) -> bool:
        """Whether it holds tool results: what the user says next belongs into the same message."""
        return bool(message["content"][0]["type"] == "tool_result")

    def _block(self, block: Block) -> list[dict[str, Any]]:
        if isinstance(block, Text):
            return self._text(block)
        if isinstance(block, Image):
            return [_cached({"type": "image", "source": self._image(block)}, block.cache)]
        if isinstance(block, File):
            return [_cached(self._document(block), block.cache)]
        if isinstance(block, Audio):
            raise self._losses.refused("audio", "it does not hear")
        if isinstance(block, Refusal):
            return [{"type": "text", "text": block.text}] if block.text.strip() else []
        if isinstance(block, Reasoning):
            return self._reasoning(block)
        if isinstance(block, ToolUse):
            return [self._tool_use(block)]
        if isinstance(block, ToolResult):
            return [self._result(block)]
        if block.dialect == DIALECT:
            return [msgspec.json.decode(block.data)]
        self._losses.drop("foreign")
        return []

    def _text(self, block: Text) -> list[dict[str, Any]]:
        if not block.text:
            return []
        given: dict[str, Any] = {"type": "text", "text": block.text}
        own = [found for found in block.citations if found.own is not None and found.own.dialect == DIALECT]
        if own:
            given["citations"] = [answer.citation(found) for found in own]
        if len(own) < len(block.citations):
            self._losses.note("citations")
        return [_cached(given, block.cache)]

    def _image(self, block: Image) -> dict[str, Any]:
        if block.detail not in (None, "auto"):
            self._losses.note("image.detail")
        if isinstance(block.source, Inline) and block.source.media_type not in _IMAGES:
            raise self._losses.refused("image", f"{block.source.media_type} is not one of its types")
        return self._source(block.source, "image")

    def _source(self, source: Source, what: str) -> dict[str, Any]:
        if isinstance(source, Inline):
            return {"type": "base64", "media_type": source.media_type, "data": source.data}
        if isinstance(source, Link):
            return {"type": "url", "url": source.url}
        if isinstance(source, Words):
            return {"type": "text", "media_type": "text/plain", "data": source.text}
        if isinstance(source, Stored) and source.dialect == DIALECT:
            return {"type": "file", "file_id": source.id}
        raise self._losses.refused(what, "a file stored elsewhere")

    def _document(self, block: File) -> dict[str, Any]:
        if isinstance(block.source, Inline) and block.source.media_type != "application/pdf":
            raise self._losses.refused("file", f"{block.source.media_type} is not one of its types")
        given: dict[str, Any] = {"type": "document", "source": self._source(block.source, "file")}
        if block.name is not None:
            given["title"] = block.name
        if block.context is not None:
            given["context"] = block.context
        if block.cited:
            given["citations"] = {"enabled": True}
        return given

    def _reasoning(self, block: Reasoning) -> list[dict[str, Any]]:
        if block.seal is None or block.seal.origin not in (self._terms.origin, DIALECT):
            if block.text or block.seal is not None:
                self._losses.note("reasoning" if block.seal is None else "seal")
            return []
        return answer.reasoning(
            msgspec.structs.replace(block, seal=msgspec.structs.replace(block.seal, origin=DIALECT))
        )

    def _tool_use(self, block: ToolUse) -> dict[str, Any]:
        if block.seal is not None:
            self._losses.note("seal")
        try:
            used = answer.tool_use(msgspec.structs.replace(block, name=self._names.told(block.name)))
        except ValueError:
            raise CallerError(
                f"The arguments of the call {block.id} of {block.name} are not valid JSON.",
                code="invalid_value",
                param="messages",
            ) from None
        return _cached(used, block.cache)

    def _result(self, block: ToolResult) -> dict[str, Any]:
        content = [part for inner in block.content for part in self._block(inner)]
        given: dict[str, Any] = {"type": "tool_result", "tool_use_id": ids.told(block.id)}
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            given["content"] = content[0]["text"]
        elif content:
            given["content"] = content
        if block.failed:
            given["is_error"] = True
        return _cached(given, block.cache)
