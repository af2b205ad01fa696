"""Requests of Anthropic Messages become conversations (https://platform.claude.com/docs/en/api/messages)."""

from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
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
    Seal,
    Source,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from tollkeeper.core.seals import belongs_to_call, unwrapped
from tollkeeper.dialects.anthropic_messages import ids
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT, citation
from tollkeeper.dialects.fields import Fields

WORDS = {
    "stop": "stop_sequences",
    "output": "output_config.format",
    "tier": "service_tier",
    "end_user": "metadata.user_id",
    "parallel_tools": "tool_choice.disable_parallel_tool_use",
    "cache": "messages.content.cache_control",
    "image": "messages.content.image",
    "file": "messages.content.document",
    "file.citations": "messages.content.document.citations",
    "file.context": "messages.content.document.context",
    "citations": "messages.content.citations",
    "foreign": "messages.content",
    "reasoning": "messages.content.thinking",
    "seal": "messages.content.thinking.signature",
    "tools.strict": "tools.strict",
    "later_instructions": "messages.role",
}
_ESSENTIAL = frozenset(("container", "mcp_servers"))
_HINTS = frozenset(("cache_control", "diagnostics"))
_MODES = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}


def conversation(body: bytes) -> Conversation:
    """Raises CallerError."""
    fields = Fields.of_body(body)
    system = Fields({"content": fields.take("system")}, "system", "system")
    instructions = _blocks(system)
    turns = [Turn("system", tuple(instructions))] if instructions else []
    for message in fields.objects("messages"):
        turns += _turns(message)
    settings = fields.object("output_config")
    choice, parallel = _tool_choice(fields.object("tool_choice"))
    metadata = fields.object("metadata")
    read: dict[str, Any] = {
        "model": fields.string("model"),
        "turns": tuple(turns),
        "tools": tuple(_tool(tool) for tool in fields.objects("tools")),
        "tool_choice": choice,
        "parallel_tools": parallel,
        "output": _output(settings, fields),
        "thinking": _thinking(fields.object("thinking"), settings),
        "sampling": _sampling(fields),
        "stream": bool(fields.flag("stream")),
        "end_user": metadata.string("user_id") if metadata is not None else None,
        "tier": fields.string("service_tier"),
    }
    for inner in (settings, metadata):
        if inner is not None:
            inner.close()
    own = fields.rest()
    read["essential"] = tuple(name for name in own if name in _ESSENTIAL)
    read["hints"] = tuple(name for name in own if name in _HINTS)
    return Conversation(dialect=DIALECT, own=own, unread=(*fields.unread, *system.unread), words=WORDS, **read)


def _sampling(fields: Fields) -> Sampling:
    stop = fields.list_of_strings("stop_sequences")
    return Sampling(
        max_tokens=fields.integer("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        stop=None if stop is None else tuple(stop),
    )


def _thinking(fields: Fields | None, settings: Fields | None) -> Thinking | None:
    effort = settings.string("effort") if settings is not None else None
    if fields is None:
        return Thinking(effort) if effort is not None else None
    kind = fields.string("type")
    found = Thinking(effort, fields.integer("budget_tokens"), fields.string("display"))
    fields.close()
    return Thinking("none", show=found.show) if kind == "disabled" else found


def _output(settings: Fields | None, fields: Fields) -> OutputFormat | None:
    """`output_config.format`, or `output_format` as its beta had it."""
    inner = settings.object("format") if settings is not None else None
    inner = inner or fields.object("output_format")
    if inner is None:
        return None
    inner.string("type")
    found = OutputFormat("schema", inner.mapping("schema"), strict=True)
    inner.close()
    return found


def _tool(fields: Fields) -> AnyTool:
    kind = fields.string("type")
    if kind not in (None, "custom"):
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **fields.rest()}))
    name, description = fields.needed("name"), fields.string("description")
    tool = Tool(name, description, fields.mapping("input_schema"), fields.flag("strict"), _cache(fields))
    fields.close()
    return tool


def _tool_choice(fields: Fields | None) -> tuple[ToolChoice | None, bool | None]:
    if fields is None:
        return None, None
    kind, name = fields.string("type"), fields.string("name")
    alone = fields.flag("disable_parallel_tool_use")
    mode = _MODES.get(kind or "")
    if mode is None:
        raise fields.refused("type", "must be auto, any, tool or none", "invalid_value")
    fields.close()
    choice = ToolChoice(mode, (name,) if name is not None else ())  # type: ignore[arg-type]
    return choice, None if alone is None else not alone


def _cache(fields: Fields) -> str | None:
    found = fields.mapping("cache_control")
    if found is None:
        return None
    ttl = found.get("ttl")
    return ttl if isinstance(ttl, str) else ""


# --- messages -------------------------------------------------------------------------------------------------------


def _turns(message: Fields) -> list[Turn]:
    """A user's message with tool results in it is two turns: the results, and the words."""
    role = message.needed("role")
    if role not in ("user", "assistant", "system"):
        raise message.refused("role", "must be user, assistant or system", "invalid_value")
    blocks = _blocks(message)
    message.close()
    results = tuple(block for block in blocks if isinstance(block, ToolResult))
    if not results:
        return [Turn(role, tuple(blocks))]  # type: ignore[arg-type]
    others = tuple(block for block in blocks if not isinstance(block, ToolResult))
    return [Turn("tool", results)] + ([Turn("user", others)] if others else [])


def _blocks(message: Fields) -> list[Block]:
    text, parts = message.text_or_objects("content")
    if text:
        return [Text(text)]
    blocks: list[Block] = []
    call_seal: Seal | None = None
    for part in parts:
        block = _block(part)
        if isinstance(block, Reasoning) and block.id == "call":
            call_seal = block.seal
            continue
        if isinstance(block, ToolUse) and call_seal is not None:
            block, call_seal = msgspec.structs.replace(block, seal=call_seal), None
        blocks.append(block)
    return blocks


def _block(part: Fields) -> Block:
    kind = part.needed("type")
    if kind not in ("text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"):
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **part.rest()}))
    cache = _cache(part)
    block: Block
    if kind == "text":
        cited = tuple(citation(msgspec.json.encode(found)) for found in part.take("citations") or ())
        block = Text(part.string("text") or "", cited, cache=cache)
    elif kind == "image":
        source = _source(part)
        if source is None or isinstance(source, Words):
            raise part.refused("source", "must be base64, url or file", "invalid_value")
        block = Image(source, cache=cache)
    elif kind == "document":
        source = _source(part)
        if source is None:
            return Foreign(DIALECT, msgspec.json.encode({"type": kind, **part.rest()}))
        wanted = part.mapping("citations") or {}
        block = File(source, part.string("title"), part.string("context"), bool(wanted.get("enabled")), cache)
    elif kind == "tool_use":
        block = _tool_use(part, cache)
    elif kind == "tool_result":
        content = tuple(_blocks(part))
        name = ids.original(part.needed("tool_use_id"))
        block = ToolResult(name, content, bool(part.flag("is_error")), cache=cache)  # type: ignore[arg-type]
    else:
        block = _reasoning(part, kind == "redacted_thinking")
    part.close()
    return block


def _tool_use(part: Fields, cache: str | None) -> ToolUse:
    name = ids.original(part.needed("id"))
    part.skip("caller")
    given = part.mapping("input") or {}
    arguments = msgspec.json.encode(given).decode() if given else ""
    return ToolUse(name, part.needed("name"), arguments, cache=cache)


def _reasoning(part: Fields, redacted: bool) -> Reasoning:
    sealed = part.string("data") if redacted else part.string("signature")
    text = part.string("thinking") or ""
    if not sealed:
        return Reasoning(text)
    return Reasoning(text, unwrapped(sealed, DIALECT), redacted, "call" if belongs_to_call(sealed) else None)


def _source(part: Fields) -> Source | None:
    """None for a source that only Anthropic has."""
    fields = part.object("source")
    if fields is None:
        raise part.refused("source", "is required", "missing_required_parameter")
    kind = fields.needed("type")
    source: Source | None = None
    if kind == "base64":
        source = Inline(fields.needed("media_type"), fields.needed("data"))
    elif kind == "url":
        source = Link(fields.needed("url"))
    elif kind == "file":
        source = Stored(fields.needed("file_id"), DIALECT)
    elif kind == "text":
        fields.string("media_type")
        source = Words(fields.needed("data"))
    fields.close()
    return source
