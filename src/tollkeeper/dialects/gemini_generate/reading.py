"""Requests of generateContent become conversations (https://ai.google.dev/api/generate-content).

The model and whether to stream stand in the path. A result without the id of its call answers the oldest call of its name.
"""

import re
from typing import Any
from urllib.parse import unquote

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
    OutputFormat,
    Reasoning,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.core.errors import CallerError
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.gemini_generate import signatures
from tollkeeper.dialects.gemini_generate.decoder import DIALECT, OUR_CALL
from tollkeeper.dialects.gemini_generate.schema import from_openapi
from tollkeeper.dialects.gemini_generate.spelling import camel

WORDS = {
    "max_tokens": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "stop": "generationConfig.stopSequences",
    "seed": "generationConfig.seed",
    "n": "generationConfig.candidateCount",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "thinking": "generationConfig.thinkingConfig",
    "output": "generationConfig.responseJsonSchema",
    "image": "contents.parts.inlineData",
    "file": "contents.parts.fileData",
    "audio": "contents.parts.inlineData",
    "foreign": "contents.parts",
    "reasoning": "contents.parts.thought",
    "seal": "contents.parts.thoughtSignature",
    "later_instructions": "contents.role",
}
_PATH = re.compile(r"(?:.*?/)??(?:models|tunedModels)/(.+):(\w+)\Z")
_ESSENTIAL = frozenset(("cachedContent",))
_HINTS = frozenset(("labels", "safetySettings"))
_MODES = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/flac": "flac"}
_UNNAMED = "?"
_STANDARD = str.maketrans("-_", "+/")
"""Google's client for Python writes base64 in the alphabet for URLs, which other providers refuse."""


def model_and_method(path: str) -> tuple[str, str]:
    """What a path below the version names: `models/{model}:{method}`. Raises CallerError."""
    match = _PATH.match(path)
    if match is None:
        raise CallerError("The path names no model.", status=404, code="not_found")
    return unquote(match.group(1)), match.group(2)


def conversation(body: bytes, path: str) -> Conversation:
    """Raises CallerError."""
    model, method = model_and_method(path)
    fields = Fields(camel(Fields.of_body(body).rest()))
    inner = fields.mapping("generateContentRequest")  # countTokens may wrap what it counts
    if inner is not None:
        fields = Fields(inner)
    fields.skip("model")
    config = fields.object("generationConfig") or Fields({}, "generationConfig", "generationConfig")
    turns = _instructions(fields) + _Contents().turns(_contents(fields))
    tools: list[AnyTool] = []
    for tool in fields.objects("tools"):
        tools += _tools(tool)
    modalities = config.list_of_strings("responseModalities") or []
    read: dict[str, Any] = {
        "model": model,
        "turns": tuple(turns),
        "tools": tuple(tools),
        "tool_choice": _tool_choice(fields.object("toolConfig")),
        "output": _output(config),
        "thinking": _thinking(config.object("thinkingConfig")),
        "sampling": _sampling(config),
        "stream": method == "streamGenerateContent",
    }
    config.close()
    own = fields.rest()
    essential = [name for name in own if name in _ESSENTIAL]
    if any(modality.upper() != "TEXT" for modality in modalities):
        essential.append("generationConfig.responseModalities")
        own["generationConfig"] = {"responseModalities": modalities}
    return Conversation(
        dialect=DIALECT,
        own=own,
        essential=tuple(essential),
        hints=tuple(name for name in own if name in _HINTS),
        unread=fields.unread + tuple(path for path in config.unread if path not in fields.unread),
        words=WORDS,
        **read,
    )


def _sampling(config: Fields) -> Sampling:
    stop = config.list_of_strings("stopSequences")
    return Sampling(
        max_tokens=config.integer("maxOutputTokens"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.integer("topK"),
        stop=tuple(stop) if stop else None,
        seed=config.integer("seed"),
        frequency_penalty=config.number("frequencyPenalty"),
        presence_penalty=config.number("presencePenalty"),
        n=config.integer("candidateCount"),
        logprobs=config.flag("responseLogprobs"),
        top_logprobs=config.integer("logprobs"),
    )


def _output(config: Fields) -> OutputFormat | None:
    kind = config.string("responseMimeType")
    plain = config.mapping("responseJsonSchema") or config.mapping("responseFormat")
    own = config.mapping("responseSchema")
    schema = plain or (from_openapi(own) if own is not None else None)
    if schema is not None:
        return OutputFormat("schema", schema)
    return OutputFormat("json") if kind == "application/json" else None


def _thinking(config: Fields | None) -> Thinking | None:
    if config is None:
        return None
    budget, level = config.integer("thinkingBudget"), config.string("thinkingLevel")
    shown = config.flag("includeThoughts")
    config.close()
    show = {True: "auto", False: "omitted", None: None}[shown]
    if budget == 0:
        return Thinking("none", None, show)
    return Thinking(level.lower() if level else None, budget if budget and budget > 0 else None, show)


def _tools(fields: Fields) -> list[AnyTool]:
    tools: list[AnyTool] = []
    for function in fields.objects("functionDeclarations"):
        own, plain = function.mapping("parameters"), function.mapping("parametersJsonSchema")
        schema = plain or (from_openapi(own) if own is not None else None)
        tools.append(Tool(function.needed("name"), function.string("description"), schema))
        function.skip("response", "responseJsonSchema", "behavior")
        function.close()
    tools += [Foreign(DIALECT, msgspec.json.encode({name: value})) for name, value in fields.rest().items()]
    return tools


def _tool_choice(config: Fields | None) -> ToolChoice | None:
    calling = config.object("functionCallingConfig") if config is not None else None
    if config is not None:
        config.skip("includeServerSideToolInvocations")
        config.close()
    if calling is None:
        return None
    mode = _MODES.get((calling.string("mode") or "AUTO").upper(), "auto")
    names = tuple(calling.list_of_strings("allowedFunctionNames") or ())
    calling.close()
    if mode == "required" and len(names) == 1:
        mode = "named"
    return ToolChoice(mode, names)  # type: ignore[arg-type]


# --- contents -------------------------------------------------------------------------------------------------------


def _instructions(fields: Fields) -> list[Turn]:
    found = fields.take("systemInstruction")
    if isinstance(found, str):
        found = {"parts": [{"text": found}]}
    if not isinstance(found, dict):
        return []
    content = fields.each("systemInstruction", [found])[0]
    content.skip("role")
    blocks = [block for part in content.objects("parts") for block in _part(part)]
    content.close()
    return [Turn("system", tuple(blocks))] if blocks else []


def _contents(fields: Fields) -> list[Fields]:
    found = fields.take("contents")
    listed = found if isinstance(found, list) else [] if found is None else [found]
    return fields.each("contents", [{"parts": [{"text": item}]} if isinstance(item, str) else item for item in listed])


class _Contents:
    """Contents on their way into turns."""

    def __init__(self) -> None:
        self._unanswered: list[tuple[str, str]] = []
        """Ids and names of calls, oldest first."""
        self._count = 0

    def turns(self, contents: list[Fields]) -> list[Turn]:
        turns: list[Turn] = []
        for content in contents:
            role = content.string("role") or "user"
            blocks = [self._known(block) for part in content.objects("parts") for block in _part(part)]
            content.close()
            results: tuple[Block, ...] = tuple(block for block in blocks if isinstance(block, ToolResult))
            others = tuple(block for block in blocks if not isinstance(block, ToolResult))
            if results:
                if turns and turns[-1].role == "tool":
                    results = (*turns.pop().blocks, *results)
                turns.append(Turn("tool", results))
            if others:
                turns.append(Turn("assistant" if role == "model" else "user", others))
        return turns

    def _known(self, block: Block) -> Block:
        """Calls and results with ids that belong together."""
        if isinstance(block, ToolUse):
            if block.id == _UNNAMED:
                block = msgspec.structs.replace(block, id=f"{OUR_CALL}{self._count}")
                self._count += 1
            self._unanswered.append((block.id, block.name))
        elif isinstance(block, ToolResult):
            wanted = [place for place in self._unanswered if block.id == place[0]]
            if block.id == _UNNAMED:
                wanted = [place for place in self._unanswered if block.name == place[1]]
                block = msgspec.structs.replace(block, id=wanted[0][0] if wanted else f"{OUR_CALL}{self._count}")
            if wanted:
                self._unanswered.remove(wanted[0])
        return block


def _part(part: Fields) -> list[Block]:
    signature = part.string("thoughtSignature")
    seal = signatures.read(signature, DIALECT) if signature else None
    call, result = part.object("functionCall"), part.object("functionResponse")
    inline, file = part.object("inlineData"), part.object("fileData")
    blocks: list[Block]
    if call is not None:
        given = call.mapping("args") or {}
        arguments = msgspec.json.encode(given).decode() if given else ""
        blocks = [ToolUse(call.string("id") or _UNNAMED, call.needed("name"), arguments, seal=seal)]
        call.close()
    elif result is not None:
        blocks = [_result(result)]
    elif inline is not None:
        media_type, data = inline.needed("mimeType"), inline.needed("data").translate(_STANDARD)
        blocks = [_media(media_type, Inline(media_type, data), inline.string("displayName"), data)]
        inline.close()
    elif file is not None:
        media_type = file.string("mimeType") or ""
        blocks = [
            _media(media_type, Link(file.needed("fileUri"), media_type or None), file.string("displayName"), None)
        ]
        file.close()
    elif "text" in part or (seal is not None and not part.rest().keys() - {"text", "thought"}):
        blocks = _words(part, seal)
    else:
        found = {**part.rest(), **({"thoughtSignature": signature} if signature else {})}
        return [Foreign(DIALECT, msgspec.json.encode(found))]
    part.close()
    return blocks


def _words(part: Fields, seal: Any) -> list[Block]:
    text, thought = part.string("text") or "", bool(part.flag("thought"))
    if thought:
        return [Reasoning(text, seal)] if text or seal is not None else []
    said: list[Block] = [Text(text)] if text else []
    return said if seal is None else [*said, Reasoning("", seal, redacted=True)]


def _media(media_type: str, source: Source, name: str | None, data: str | None) -> Block:
    if media_type.startswith("image/"):
        return Image(source)
    if media_type in _AUDIO and data is not None:
        return Audio(data, _AUDIO[media_type])
    return File(source, name)


def _result(fields: Fields) -> ToolResult:
    name, identity = fields.needed("name"), fields.string("id") or _UNNAMED
    response = fields.mapping("response") or {}
    content: list[Any] = []
    failed = set(response) == {"error"}
    for key in ("result", "output", "error"):
        if set(response) == {key} and isinstance(response[key], str):
            content = [Text(response[key])] if response[key] else []
            break
    else:
        content = [Text(msgspec.json.encode(response).decode())] if response else []
    for part in fields.objects("parts"):
        content += _part(part)
    fields.skip("willContinue", "scheduling")
    fields.close()
    return ToolResult(identity, tuple(content), failed, name)
