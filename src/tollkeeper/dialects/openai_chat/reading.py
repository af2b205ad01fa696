"""Requests of Chat Completions become conversations (https://platform.openai.com/docs/api-reference/chat/create)."""

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
    OutputFormat,
    Reasoning,
    Refusal,
    Sampling,
    Seal,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.dialects import media
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.openai_chat.decoder import DIALECT, detail_seal, google_seal

WORDS = {
    "max_tokens": "max_completion_tokens",
    "thinking": "reasoning_effort",
    "output": "response_format",
    "tier": "service_tier",
    "end_user": "user",
    "parallel_tools": "parallel_tool_calls",
    "tools.strict": "tools.function.strict",
    "turn.name": "messages.name",
    "cache": "messages.content.cache_control",
    "image": "messages.content.image_url",
    "image.detail": "messages.content.image_url.detail",
    "file": "messages.content.file",
    "audio": "messages.content.input_audio",
    "refusal": "messages.refusal",
    "reasoning": "messages.reasoning_content",
    "seal": "messages.reasoning_details",
    "citations": "messages.annotations",
    "foreign": "messages",
    "later_instructions": "messages.role",
}
_CHOICES = frozenset(("auto", "none", "required"))
_UNKNOWN_ORIGIN = DIALECT
_ESSENTIAL = frozenset(("audio", "modalities", "web_search_options"))
_HINTS = frozenset(("metadata", "prediction", "prompt_cache_key", "prompt_cache_retention", "store"))


def conversation(body: bytes) -> Conversation:
    """Raises CallerError."""
    fields = Fields.of_body(body)
    streaming = fields.object("stream_options")
    shown = bool(streaming.flag("include_usage")) if streaming is not None else False
    tools = [_tool(tool) for tool in fields.objects("tools")]
    tools += [_function(function) for function in fields.objects("functions")]
    choice = _tool_choice(fields)
    effort = fields.string("reasoning_effort")
    read: dict[str, Any] = {
        "model": fields.string("model"),
        "turns": _turns(fields.objects("messages")),
        "tools": tuple(tools),
        "tool_choice": choice,
        "parallel_tools": fields.flag("parallel_tool_calls"),
        "output": _output(fields.object("response_format")),
        "thinking": Thinking(effort=effort) if effort else None,
        "sampling": _sampling(fields),
        "verbosity": fields.string("verbosity"),
        "stream": bool(fields.flag("stream")),
        "stream_usage": shown,
        "end_user": fields.string("safety_identifier") or fields.string("user"),
        "tier": fields.string("service_tier"),
    }
    own = fields.rest()
    if own.get("modalities") == ["text"]:
        del own["modalities"]
    read["essential"] = tuple(name for name in own if name in _ESSENTIAL)
    read["hints"] = tuple(name for name in own if name in _HINTS)
    return Conversation(dialect=DIALECT, own=own, unread=fields.unread, words=WORDS, **read)


def _sampling(fields: Fields) -> Sampling:
    legacy = fields.integer("max_tokens")
    limit = fields.integer("max_completion_tokens")
    stop = fields.list_of_strings("stop")
    return Sampling(
        max_tokens=legacy if limit is None else limit,
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        stop=None if stop is None else tuple(stop),
        seed=fields.integer("seed"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        logit_bias=fields.mapping("logit_bias"),
        n=fields.integer("n"),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.integer("top_logprobs"),
    )


# --- tools ----------------------------------------------------------------------------------------------------------


def _tool(fields: Fields) -> AnyTool:
    kind = fields.string("type") or "function"
    if kind == "function":
        inner = fields.object("function")
        if inner is None:
            raise fields.refused("function", "is required", "missing_required_parameter")
        tool: AnyTool = _function(inner, _cache(fields))
    elif kind == "custom":
        inner = fields.object("custom")
        if inner is None:
            raise fields.refused("custom", "is required", "missing_required_parameter")
        tool = CustomTool(inner.needed("name"), inner.string("description"), inner.mapping("format"))
        inner.close()
    else:
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **fields.rest()}))
    fields.close()
    return tool


def _function(fields: Fields, cache: str | None = None) -> Tool:
    schema = fields.mapping("parameters")
    tool = Tool(fields.needed("name"), fields.string("description"), schema, fields.flag("strict"), cache)
    fields.close()
    return tool


def _tool_choice(fields: Fields) -> ToolChoice | None:
    found = fields.take("tool_choice")
    if found is None:
        found = fields.take("function_call")
        if isinstance(found, dict):
            found = {"type": "function", "function": found}
    if found is None:
        return None
    if isinstance(found, str) and found in _CHOICES:
        return ToolChoice(found)  # type: ignore[arg-type]
    if not isinstance(found, dict):
        raise fields.refused("tool_choice", "must be auto, none, required or an object", "invalid_value")
    inner = fields.each("tool_choice", [found])[0]
    kind = inner.string("type")
    if kind == "allowed_tools":
        allowed = inner.object("allowed_tools") or inner
        names = [named for tool in allowed.objects("tools") if (named := _named(tool))]
        mode = "required" if allowed.string("mode") == "required" else "auto"
        return ToolChoice(mode, tuple(names))  # type: ignore[arg-type]
    named = _named(Fields({"type": kind, **inner.rest()}))
    if named is None:
        raise fields.refused("tool_choice", "names no tool", "invalid_value")
    return ToolChoice("named", (named,))


def _named(fields: Fields) -> str | None:
    inner = fields.object("function") or fields.object("custom") or fields
    return inner.string("name")


def _output(fields: Fields | None) -> OutputFormat | None:
    if fields is None:
        return None
    kind = fields.string("type")
    if kind in ("text", None):
        return None
    if kind == "json_object":
        return OutputFormat("json")
    inner = fields.object("json_schema")
    if kind != "json_schema" or inner is None:
        raise fields.refused("", "must be text, json_object or json_schema", "invalid_value")
    found = OutputFormat(
        "schema", inner.mapping("schema"), inner.string("name"), inner.string("description"), inner.flag("strict")
    )
    inner.close()
    fields.close()
    return found


# --- messages -------------------------------------------------------------------------------------------------------


def _turns(messages: list[Fields]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for message in messages:
        role = message.needed("role")
        if role in ("tool", "function"):
            result = _result(message, role)
            if turns and turns[-1].role == "tool":
                turns[-1] = Turn("tool", (*turns[-1].blocks, result))
            else:
                turns.append(Turn("tool", (result,)))
        elif role in ("system", "developer", "user"):
            turns.append(Turn(role, tuple(_content(message)), message.string("name")))  # type: ignore[arg-type]
        elif role == "assistant":
            turns.append(Turn("assistant", tuple(_assistant(message)), message.string("name")))
        else:
            raise message.refused("role", "must be system, developer, user, assistant or tool", "invalid_value")
        message.close()
    return tuple(turns)


def _result(message: Fields, role: str) -> ToolResult:
    name = message.string("name")
    call = message.string("tool_call_id") or (name if role == "function" else None)
    if call is None:
        raise message.refused("tool_call_id", "is required", "missing_required_parameter")
    return ToolResult(call, tuple(_content(message)), name=name)  # type: ignore[arg-type]


def _content(message: Fields) -> list[Block]:
    text, parts = message.text_or_objects("content")
    return [Text(text)] if text else [_part(part) for part in parts]


def _part(part: Fields) -> Block:
    kind = part.needed("type")
    cache = _cache(part)
    block: Block
    if kind in ("text", "input_text", "output_text"):
        block = Text(part.string("text") or "", cache=cache)
    elif kind == "image_url":
        url = part.take("image_url")
        inner = part.each("image_url", [url if isinstance(url, dict) else {"url": url}])[0]
        block = Image(media.source_of(inner.needed("url")), inner.string("detail"), cache)
        inner.close()
    elif kind == "input_audio":
        inner = part.object("input_audio") or Fields({}, part.path, part.where)
        block = Audio(inner.needed("data"), inner.string("format") or "wav")
        inner.close()
    elif kind == "file":
        inner = part.object("file") or Fields({}, part.path, part.where)
        block = _file(inner, cache)
        inner.close()
    elif kind == "refusal":
        block = Refusal(part.string("refusal") or "")
    else:
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **part.rest()}))
    part.close()
    return block


def _file(fields: Fields, cache: str | None) -> File:
    stored = fields.string("file_id")
    if stored is not None:
        return File(Stored(stored, DIALECT), fields.string("filename"), cache=cache)
    return File(media.source_of(fields.needed("file_data")), fields.string("filename"), cache=cache)


def _cache(fields: Fields) -> str | None:
    """`cache_control` as OpenRouter takes it, or OpenAI's `prompt_cache_breakpoint`."""
    found = fields.mapping("cache_control") or fields.mapping("prompt_cache_breakpoint")
    if found is None:
        return None
    ttl = found.get("ttl")
    return ttl if isinstance(ttl, str) else ""


def _assistant(message: Fields) -> list[Block]:
    blocks: list[Block] = list(_reasoning(message))
    blocks += _content(message)
    refusal = message.string("refusal")
    if refusal:
        blocks.append(Refusal(refusal))
    message.skip("audio")
    for call in message.objects("tool_calls"):
        blocks.append(_tool_use(call))
    legacy = message.object("function_call")
    if legacy is not None:
        name = legacy.needed("name")
        blocks.append(ToolUse(name, name, legacy.string("arguments") or ""))
    message.skip("annotations")
    return blocks


def _tool_use(call: Fields) -> ToolUse:
    name = call.needed("id")
    kind = call.string("type")
    call.skip("index")
    seal = google_seal(call.mapping("extra_content"), _UNKNOWN_ORIGIN)
    if kind == "custom":
        inner = call.object("custom") or Fields({}, call.path, call.where)
        used = ToolUse(name, inner.needed("name"), inner.string("input") or "", True, seal)
    else:
        inner = call.object("function") or Fields({}, call.path, call.where)
        arguments = inner.string("arguments") or ""
        used = ToolUse(name, inner.needed("name"), "" if arguments == "{}" else arguments, False, seal)
    inner.close()
    call.close()
    return used


def _reasoning(message: Fields) -> list[Reasoning]:
    """`reasoning_details` where the client kept them, else the words alone."""
    plain = message.string("reasoning_content") or message.string("reasoning")
    message.skip("reasoning")
    found: list[Reasoning] = []
    for fields in message.objects("reasoning_details"):
        detail = fields.rest()
        seal: Seal | None = detail_seal(detail, _UNKNOWN_ORIGIN)
        text = detail.get("text") or detail.get("summary")
        name = detail.get("id")
        said = text if isinstance(text, str) else ""
        redacted = detail.get("type") == "reasoning.encrypted"
        if said or seal is not None:
            found.append(Reasoning(said, seal, redacted, name if isinstance(name, str) else None))
    if plain and not any(block.text for block in found):
        found.insert(0, Reasoning(plain))
    return found
