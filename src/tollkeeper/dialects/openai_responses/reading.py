"""Requests of the Responses API become conversations (https://platform.openai.com/docs/api-reference/responses/create).

Rule: items that follow each other and are the model's (reasoning, words, calls) are one turn; so are results.
"""

from typing import Any, Literal

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
    Block,
    Conversation,
    CustomTool,
    File,
    Foreign,
    Image,
    Link,
    OutputFormat,
    Reasoning,
    Refusal,
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
)
from tollkeeper.core.seals import belongs_to_call, unwrapped
from tollkeeper.dialects import media
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.openai_responses.decoder import DIALECT, citation

WORDS = {
    "max_tokens": "max_output_tokens",
    "thinking": "reasoning",
    "output": "text.format",
    "verbosity": "text.verbosity",
    "tier": "service_tier",
    "end_user": "user",
    "parallel_tools": "parallel_tool_calls",
    "image": "input.content.input_image",
    "image.detail": "input.content.input_image.detail",
    "file": "input.content.input_file",
    "audio": "input.content.input_audio",
    "refusal": "input.content.refusal",
    "reasoning": "input.summary",
    "seal": "input.encrypted_content",
    "citations": "input.content.annotations",
    "foreign": "input",
    "later_instructions": "input.role",
}
_ESSENTIAL = frozenset(("background", "conversation", "previous_response_id", "prompt"))
_HINTS = frozenset(("metadata", "prompt_cache_key", "prompt_cache_retention", "store", "truncation", "stream_options"))
_ENCRYPTED = "reasoning.encrypted_content"
_LIKELY = "message.output_text.logprobs"


def conversation(body: bytes) -> Conversation:
    """Raises CallerError."""
    fields = Fields.of_body(body)
    instructions = fields.string("instructions")
    turns = [Turn("system", (Text(instructions),))] if instructions else []
    reader = _Input()
    given = fields.take("input")
    if isinstance(given, str):
        turns.append(Turn("user", (Text(given),)))
    elif isinstance(given, list):
        turns += reader.turns(fields.each("input", given))
    elif given is not None:
        raise fields.refused("input", "must be a string or an array")
    text = fields.object("text") or Fields({})
    include = fields.list_of_strings("include") or []
    choice, hosted = _tool_choice(fields)
    thinking = fields.object("reasoning")
    read: dict[str, Any] = {
        "model": fields.string("model"),
        "turns": tuple(turns),
        "tools": tuple(_tool(tool) for tool in fields.objects("tools")),
        "tool_choice": choice,
        "parallel_tools": fields.flag("parallel_tool_calls"),
        "output": _output(text.object("format")),
        "verbosity": text.string("verbosity"),
        "thinking": _thinking(thinking) if thinking is not None else None,
        "sampling": Sampling(
            max_tokens=fields.integer("max_output_tokens"),
            temperature=fields.number("temperature"),
            top_p=fields.number("top_p"),
            top_logprobs=fields.integer("top_logprobs"),
            logprobs=True if _LIKELY in include else None,
        ),
        "stream": bool(fields.flag("stream")),
        "end_user": fields.string("safety_identifier") or fields.string("user"),
        "tier": fields.string("service_tier"),
    }
    text.close()
    own = {**fields.rest(), **hosted}
    left = [name for name in include if name not in (_ENCRYPTED, _LIKELY)]
    if left:
        own["include"] = left
    for name, usual in (("store", False), ("background", False), ("truncation", "disabled")):
        if own.get(name) == usual:
            del own[name]
    essential = [name for name in own if name in _ESSENTIAL] + list(hosted) + reader.essential
    return Conversation(
        dialect=DIALECT,
        own=own,
        essential=tuple(essential),
        hints=tuple(name for name in own if name in _HINTS),
        unread=(*fields.unread, *(path for path in text.unread if path not in fields.unread)),
        words=WORDS,
        **read,
    )


def _thinking(fields: Fields) -> Thinking | None:
    effort = fields.string("effort")
    show = fields.string("summary") or fields.string("generate_summary")
    fields.close()
    return Thinking(effort, None, show) if effort or show else None


def _output(fields: Fields | None) -> OutputFormat | None:
    if fields is None:
        return None
    kind = fields.string("type")
    if kind in ("text", None):
        return None
    if kind == "json_object":
        return OutputFormat("json")
    if kind != "json_schema":
        raise fields.refused("type", "must be text, json_object or json_schema", "invalid_value")
    schema, name, description = fields.mapping("schema"), fields.string("name"), fields.string("description")
    found = OutputFormat("schema", schema, name, description, fields.flag("strict"))
    fields.close()
    return found


# --- tools ----------------------------------------------------------------------------------------------------------


def _tool(fields: Fields) -> AnyTool:
    kind = fields.needed("type")
    tool: AnyTool
    if kind == "function":
        name, description = fields.needed("name"), fields.string("description")
        tool = Tool(name, description, fields.mapping("parameters"), fields.flag("strict"))
    elif kind == "custom":
        tool = CustomTool(fields.needed("name"), fields.string("description"), fields.mapping("format"))
    else:
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **fields.rest()}))
    fields.close()
    return tool


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, dict[str, Any]]:
    """The choice, or the member as it was where it is a hosted tool's."""
    found = fields.take("tool_choice")
    if found is None or found in ("auto", "none", "required"):
        return (None if found is None else ToolChoice(found)), {}
    if not isinstance(found, dict):
        raise fields.refused("tool_choice", "must be auto, none, required or an object", "invalid_value")
    kind, name = found.get("type"), found.get("name")
    if kind in ("function", "custom") and isinstance(name, str):
        return ToolChoice("named", (name,)), {}
    if kind == "allowed_tools" and isinstance(found.get("tools"), list):
        names = [str(tool["name"]) for tool in found["tools"] if isinstance(tool, dict) and tool.get("name")]
        if len(names) == len(found["tools"]):
            mode: Literal["auto", "required"] = "required" if found.get("mode") == "required" else "auto"
            return ToolChoice(mode, tuple(names)), {}
    return None, {"tool_choice": found}


# --- input ----------------------------------------------------------------------------------------------------------


class _Input:
    """Items on their way into turns."""

    def __init__(self) -> None:
        self.essential: list[str] = []
        """What of the input rests on a state that only this dialect's provider has."""
        self._call_seal: Seal | None = None

    def turns(self, items: list[Fields]) -> list[Turn]:
        turns: list[Turn] = []
        for item in items:
            turn = self._item(item)
            item.close()
            if turn is None:
                continue
            if turns and turn.role in ("assistant", "tool") and turns[-1].role == turn.role:
                turns[-1] = Turn(turn.role, (*turns[-1].blocks, *turn.blocks))
            else:
                turns.append(turn)
        return turns

    def _item(self, item: Fields) -> Turn | None:
        kind = item.string("type") or "message"
        if kind == "message":
            role = item.needed("role")
            if role not in ("system", "developer", "user", "assistant"):
                raise item.refused("role", "must be system, developer, user or assistant", "invalid_value")
            item.skip("id", "status", "phase")
            return Turn(role, tuple(_content(item, "content")))  # type: ignore[arg-type]
        if kind == "reasoning":
            block = self._reasoning(item)
            return Turn("assistant", (block,)) if block is not None else None
        if kind in ("function_call", "custom_tool_call"):
            return Turn("assistant", (self._call(item, kind == "custom_tool_call"),))
        if kind in ("function_call_output", "custom_tool_call_output"):
            item.skip("id", "status")
            content = _content(item, "output")
            return Turn("tool", (ToolResult(item.needed("call_id"), tuple(content)),))  # type: ignore[arg-type]
        if kind == "item_reference":
            self.essential.append("input.item_reference")
        found = {"type": kind, **item.rest()}
        item.skip(*found)
        return Turn("assistant", (Foreign(DIALECT, msgspec.json.encode(found)),))

    def _call(self, item: Fields, custom: bool) -> ToolUse:
        item.skip("id", "status")
        seal, self._call_seal = self._call_seal, None
        text = item.string("input" if custom else "arguments") or ""
        text = "" if text == "{}" and not custom else text
        return ToolUse(item.needed("call_id"), item.needed("name"), text, custom, seal)

    def _reasoning(self, item: Fields) -> Reasoning | None:
        name, sealed = item.string("id") or "", item.string("encrypted_content")
        item.skip("status")
        parts = item.objects("summary") or item.objects("content")
        item.skip("content")
        text = "\n\n".join(part.string("text") or "" for part in parts)
        if not sealed:
            return Reasoning(text) if text else None
        if belongs_to_call(sealed):
            self._call_seal = unwrapped(sealed, DIALECT)
            return None
        ours = unwrapped(sealed, "")
        seal = ours if ours.origin else Seal(f"{name}:{sealed}", DIALECT)
        return Reasoning(text, seal, redacted=not text)


def _content(item: Fields, name: str) -> list[Block]:
    text, parts = item.text_or_objects(name)
    return [Text(text)] if text else [_part(part) for part in parts]


def _part(part: Fields) -> Block:
    kind = part.needed("type")
    block: Block
    if kind in ("input_text", "output_text", "text"):
        cited = tuple(citation(msgspec.json.encode(found)) for found in part.take("annotations") or ())
        part.skip("logprobs")
        block = Text(part.string("text") or "", cited)
    elif kind == "refusal":
        block = Refusal(part.string("refusal") or "")
    elif kind == "input_image":
        detail = part.string("detail")
        block = Image(_source(part, part.string("image_url")), None if detail == "auto" else detail)
    elif kind == "input_file":
        address = part.string("file_url")
        source = Link(address) if address is not None else _source(part, part.string("file_data"))
        block = File(source, part.string("filename"))
    else:
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **part.rest()}))
    part.close()
    return block


def _source(part: Fields, url: str | None) -> Source:
    stored = part.string("file_id")
    if stored is not None:
        return Stored(stored, DIALECT)
    if url is None:
        raise part.refused("", "needs data, an address or a file's id", "missing_required_parameter")
    return media.source_of(url)
