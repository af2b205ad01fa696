"""Conversations become requests of generateContent.

Rule 1: results have the name of the tool, and its call's id if Gemini gave that; what they hold travels as an object.
Rule 2: newer models want back the signature of a turn's first call; a call that another model made has a stand-in.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
    Audio,
    Block,
    Conversation,
    File,
    Foreign,
    Image,
    Inline,
    Link,
    Reasoning,
    Refusal,
    Seal,
    Source,
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
from tollkeeper.dialects.gemini_generate import answer
from tollkeeper.dialects.gemini_generate.decoder import DIALECT, OUR_CALL
from tollkeeper.dialects.losses import Losses
from tollkeeper.dialects.tool_names import ToolNames

_LONGEST_NAME = 64
_STAND_IN = "skip_thought_signature_validator"
"""https://ai.google.dev/gemini-api/docs/thought-signatures: for calls in a history that came from another model."""
_SAMPLING = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "n": "candidateCount",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_LEVELS = {"xhigh": "high", "max": "high"}
_THINKS_BY_LEVEL = re.compile(r"gemini-(?:[3-9]|\d\d)")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3", "flac": "audio/flac", "ogg": "audio/ogg", "aac": "audio/aac"}


def request(conversation: Conversation, terms: Terms) -> Rendered:
    """Raises CallerError where something cannot cross and must not be left out."""
    losses = Losses(conversation, terms, DIALECT)
    names = ToolNames((tool.name for tool in conversation.tools if isinstance(tool, Tool)), _LONGEST_NAME)
    contents = _Contents(conversation.turns, terms, losses, names)
    body: dict[str, Any] = {"contents": contents.all()}
    if contents.instructions:
        body["systemInstruction"] = {"parts": contents.instructions}
    tools = _tools(conversation.tools, losses, names)
    if tools:
        body["tools"] = tools
    if conversation.tool_choice is not None and conversation.tools:
        body["toolConfig"] = {"functionCallingConfig": _calling(conversation.tool_choice, names)}
    config = _config(conversation, terms, losses)
    if config:
        body["generationConfig"] = config
    for name in ("tier", "end_user"):
        if getattr(conversation, name) not in (None, "auto", "default"):
            losses.note(name)
    if conversation.verbosity is not None:
        losses.drop("verbosity")
    if conversation.parallel_tools is False and conversation.tools:
        losses.drop("parallel_tools")
    if conversation.dialect == DIALECT:
        own = conversation.own
        body |= {**own, "generationConfig": {**config, **own.get("generationConfig", {})}}
    method = "streamGenerateContent" if conversation.stream else "generateContent"
    return Rendered(
        path=f"models/{quote(terms.model, safe='')}:{method}",
        query="alt=sse" if conversation.stream else "",
        body=msgspec.json.encode(body),
        dropped=losses.dropped,
        renamed=names.renamed,
    )


def _config(conversation: Conversation, terms: Terms, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, value in conversation.sampling.said():
        if name in _SAMPLING:
            config[_SAMPLING[name]] = value
        else:
            losses.drop(name)
    output = conversation.output
    if output is not None:
        config["responseMimeType"] = "application/json"
        if output.schema is not None:
            config["responseJsonSchema"] = output.schema
    thinking = conversation.thinking
    if thinking is not None:
        asked = _thinking(thinking, terms.model)
        if thinking.show != "omitted" and thinking.effort != "none" and conversation.dialect != "openai_chat":
            asked["includeThoughts"] = True
        if asked:
            config["thinkingConfig"] = asked
    return config


def _thinking(thinking: Thinking, model: str) -> dict[str, Any]:
    """Newer models take a level, those before a budget of tokens."""
    if _THINKS_BY_LEVEL.search(model):
        effort = thinking.effort
        if effort is None and thinking.budget is not None:
            effort = "low" if thinking.budget <= _BUDGETS["low"] else "high"
        if effort == "none":
            effort = "minimal"
        return {} if effort is None else {"thinkingLevel": _LEVELS.get(effort, effort)}
    if thinking.effort == "none":
        return {"thinkingBudget": 0}
    budget = thinking.budget or _BUDGETS.get(thinking.effort or "")
    return {} if budget is None else {"thinkingBudget": budget}


def _tools(tools: tuple[AnyTool, ...], losses: Losses, names: ToolNames) -> list[dict[str, Any]]:
    functions, others = [], []
    for tool in tools:
        if isinstance(tool, Foreign):
            if tool.dialect != DIALECT:
                raise losses.refused("tools", "a tool that the provider itself runs")
            others.append(msgspec.json.decode(tool.data, type=dict[str, Any]))
        elif isinstance(tool, Tool):
            if tool.cache is not None:
                losses.note("cache")
            if tool.strict:
                losses.note("tools.strict")
            function: dict[str, Any] = {"name": names.told(tool.name)}
            if tool.description is not None:
                function["description"] = tool.description
            if tool.schema is not None:
                function["parametersJsonSchema"] = tool.schema
            functions.append(function)
        else:
            raise losses.refused("tools.custom", "tools take JSON here, not free text")
    return ([{"functionDeclarations": functions}] if functions else []) + others


def _calling(choice: ToolChoice, names: ToolNames) -> dict[str, Any]:
    mode = "VALIDATED" if choice.mode == "auto" and choice.names else _MODES[choice.mode]
    told = [names.told(name) for name in choice.names]
    return {"mode": mode, **({"allowedFunctionNames": told} if told else {})}


# --- contents -------------------------------------------------------------------------------------------------------


class _Contents:
    """Turns on their way into contents."""

    def __init__(self, turns: tuple[Turn, ...], terms: Terms, losses: Losses, names: ToolNames) -> None:
        self._turns = turns
        self._terms = terms
        self._losses = losses
        self._names = names
        self._called = tool_names(turns)
        self.instructions: list[dict[str, Any]] = []

    def all(self) -> list[dict[str, Any]]:
        contents: list[dict[str, Any]] = []
        for turn in self._turns:
            if turn.name is not None:
                self._losses.drop("turn.name")
            if turn.role == "assistant":
                parts = self._said(turn)
            else:
                parts = [part for block in turn.blocks for part in self._part(block)]
            if turn.role in ("system", "developer"):
                if not contents:
                    self.instructions += parts
                    continue
                self._losses.note("later_instructions")
            if parts:
                contents.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
        return contents

    def _said(self, turn: Turn) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        called = False
        for block in turn.blocks:
            if isinstance(block, ToolUse):
                parts.append(self._call(block, first=not called))
                called = True
            else:
                parts += self._part(block)
        return parts

    def _call(self, block: ToolUse, *, first: bool) -> dict[str, Any]:
        seal = self._ours(block.seal)
        if seal is None and first and _THINKS_BY_LEVEL.search(self._terms.model):
            seal = Seal(_STAND_IN, DIALECT)
        return answer.function_call(block.id, self._names.told(block.name), block.arguments, seal)

    def _ours(self, seal: Seal | None) -> Seal | None:
        """A seal that this provider gave, as it gave it; another's is named as lost."""
        if seal is None:
            return None
        if seal.origin not in (self._terms.origin, DIALECT):
            self._losses.note("seal")
            return None
        return Seal(seal.value, DIALECT)

    def _part(self, block: Block) -> list[dict[str, Any]]:
        if isinstance(block, (Text, Image, File)) and block.cache is not None:
            self._losses.note("cache")
        if isinstance(block, (Text, Refusal)):
            return [{"text": block.text}] if block.text else []
        if isinstance(block, Image):
            if block.detail not in (None, "auto"):
                self._losses.note("image.detail")
            return [self._media(block.source, "image", "image/jpeg")]
        if isinstance(block, File):
            if block.name is not None:
                self._losses.note("file.name")
            if block.cited or block.context:
                self._losses.note("file.citations" if block.cited else "file.context")
            return [self._media(block.source, "file", "application/pdf")]
        if isinstance(block, Audio):
            kind = _AUDIO.get(block.format, f"audio/{block.format}")
            return [{"inlineData": {"mimeType": kind, "data": block.data}}]
        if isinstance(block, Reasoning):
            return self._reasoning(block)
        if isinstance(block, ToolResult):
            return [self._result(block)]
        if isinstance(block, Foreign) and block.dialect == DIALECT:
            return [msgspec.json.decode(block.data)]
        self._losses.drop("foreign")
        return []

    def _reasoning(self, block: Reasoning) -> list[dict[str, Any]]:
        seal = self._ours(block.seal)
        if seal is None:
            if block.text and block.seal is None:
                self._losses.note("reasoning")
            return []
        part = answer.signature(seal, thought=not block.redacted)
        return [{**part, "text": block.text} if block.text else part]

    def _media(self, source: Source, what: str, usual: str) -> dict[str, Any]:
        if isinstance(source, Inline):
            return {"inlineData": {"mimeType": source.media_type, "data": source.data}}
        if isinstance(source, Link):
            return {"fileData": {"fileUri": source.url, "mimeType": source.media_type or usual}}
        if isinstance(source, Words):
            return {"text": source.text}
        raise self._losses.refused(what, "a file stored elsewhere")

    def _result(self, block: ToolResult) -> dict[str, Any]:
        texts = "\n".join(inner.text for inner in block.content if isinstance(inner, Text))
        others = [part for inner in block.content if not isinstance(inner, Text) for part in self._part(inner)]
        name = self._names.told(block.name or self._called.get(block.id) or block.id)
        result: dict[str, Any] = {"name": name, "response": _response(texts, failed=block.failed)}
        if not block.id.startswith(OUR_CALL):
            result["id"] = block.id
        if others:
            result["parts"] = others
        return {"functionResponse": result}


def _response(text: str, *, failed: bool) -> dict[str, Any]:
    """An object: the result itself where it is one."""
    if failed:
        return {"error": text}
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text)
        except ValueError:
            return {"result": text}
        if isinstance(found, dict) and len(found) != 1:
            return found
    return {"result": text}
