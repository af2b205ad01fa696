"""Requests of Ollama's /api/chat and /api/generate become conversations (https://docs.ollama.com/api/chat).

Results say the tool's name, rarely the call's id: they answer the oldest call of that name.
"""

from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    Block,
    Conversation,
    Image,
    Inline,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from tollkeeper.dialects.fields import Fields
from tollkeeper.dialects.ollama_chat.decoder import DIALECT

WORDS = {
    "max_tokens": "options.num_predict",
    "temperature": "options.temperature",
    "top_p": "options.top_p",
    "top_k": "options.top_k",
    "stop": "options.stop",
    "seed": "options.seed",
    "frequency_penalty": "options.frequency_penalty",
    "presence_penalty": "options.presence_penalty",
    "thinking": "think",
    "output": "format",
    "image": "messages.images",
    "reasoning": "messages.thinking",
}
_ESSENTIAL = frozenset(("context", "raw", "suffix", "template"))
_HINTS = frozenset(("keep_alive",))
_MAGIC = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklGR": "image/webp"}


def chat(body: bytes) -> Conversation:
    """Of /api/chat. Raises CallerError."""
    fields = Fields.of_body(body)
    turns = _Messages().turns(fields.objects("messages"))
    tools = tuple(_tool(tool) for tool in fields.objects("tools"))
    return _conversation(fields, turns, tools)


def generate(body: bytes) -> Conversation:
    """Of /api/generate. Raises CallerError."""
    fields = Fields.of_body(body)
    system, prompt = fields.string("system"), fields.string("prompt") or ""
    pictures = [_image(picture) for picture in fields.list_of_strings("images") or ()]
    turns = [Turn("system", (Text(system),))] if system else []
    blocks: list[Block] = [Text(prompt)] if prompt else []
    turns.append(Turn("user", (*blocks, *pictures)))
    return _conversation(fields, turns, ())


def _conversation(fields: Fields, turns: list[Turn], tools: tuple[Tool, ...]) -> Conversation:
    options = fields.object("options") or Fields({}, "options", "options")
    stream = fields.flag("stream")
    read: dict[str, Any] = {
        "model": fields.string("model"),
        "output": _output(fields.take("format"), fields),
        "thinking": _thinking(fields.take("think"), fields),
        "sampling": _sampling(options, fields),
    }
    options.close()
    own = fields.rest()
    return Conversation(
        dialect=DIALECT,
        turns=tuple(turns),
        tools=tools,
        stream=stream is not False,
        own=own,
        essential=tuple(name for name in own if name in _ESSENTIAL and own[name]),
        hints=tuple(name for name in own if name in _HINTS),
        unread=fields.unread + tuple(path for path in options.unread if path not in fields.unread),
        words=WORDS,
        **read,
    )


def _sampling(options: Fields, fields: Fields) -> Sampling:
    limit = options.integer("num_predict")
    stop = options.list_of_strings("stop")
    return Sampling(
        max_tokens=limit if limit is not None and limit >= 0 else None,
        temperature=options.number("temperature"),
        top_p=options.number("top_p"),
        top_k=options.integer("top_k"),
        stop=tuple(stop) if stop else None,
        seed=options.integer("seed"),
        frequency_penalty=options.number("frequency_penalty"),
        presence_penalty=options.number("presence_penalty"),
        logprobs=fields.flag("logprobs"),
        top_logprobs=fields.integer("top_logprobs"),
    )


def _output(found: Any, fields: Fields) -> OutputFormat | None:
    if found in (None, ""):
        return None
    if found == "json":
        return OutputFormat("json")
    if not isinstance(found, dict):
        raise fields.refused("format", "must be json or a schema", "invalid_value")
    return OutputFormat("schema", found)


def _thinking(found: Any, fields: Fields) -> Thinking | None:
    if found is None:
        return None
    if isinstance(found, bool):
        return Thinking(show="auto") if found else Thinking("none")
    if not isinstance(found, str):
        raise fields.refused("think", "must be a boolean or an effort", "invalid_value")
    return Thinking(found, None, "auto")


def _tool(fields: Fields) -> Tool:
    fields.skip("type")
    inner = fields.object("function") or Fields({}, fields.path, fields.where)
    tool = Tool(inner.needed("name"), inner.string("description"), inner.mapping("parameters"))
    inner.close()
    fields.close()
    return tool


def _image(data: str) -> Image:
    """Base64 without a type: the first bytes tell it."""
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), "image/png")
    return Image(Inline(kind, data))


class _Messages:
    """Messages on their way into turns."""

    def __init__(self) -> None:
        self._unanswered: list[tuple[str, str]] = []
        self._count = 0

    def turns(self, messages: list[Fields]) -> list[Turn]:
        turns: list[Turn] = []
        for message in messages:
            role = message.needed("role")
            if role not in ("system", "user", "assistant", "tool"):
                raise message.refused("role", "must be system, user, assistant or tool", "invalid_value")
            blocks = self._blocks(message)
            if role == "tool":
                result = self._result(message, blocks)
                if turns and turns[-1].role == "tool":
                    turns[-1] = Turn("tool", (*turns[-1].blocks, result))
                else:
                    turns.append(Turn("tool", (result,)))
            else:
                turns.append(Turn(role, tuple(blocks)))  # type: ignore[arg-type]
            message.close()
        return turns

    def _blocks(self, message: Fields) -> list[Block]:
        thinking, content = message.string("thinking"), message.string("content")
        blocks: list[Block] = [Reasoning(thinking)] if thinking else []
        blocks += [Text(content)] if content else []
        blocks += [_image(picture) for picture in message.list_of_strings("images") or ()]
        for call in message.objects("tool_calls"):
            blocks.append(self._call(call))
        return blocks

    def _call(self, call: Fields) -> ToolUse:
        inner = call.object("function") or Fields({}, call.path, call.where)
        inner.skip("index")
        name, given = inner.needed("name"), inner.take("arguments")
        identity = call.string("id") or f"call_{self._count}"
        call.skip("type")
        self._count += 1
        self._unanswered.append((identity, name))
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode() if given else ""
        inner.close()
        call.close()
        return ToolUse(identity, name, text)

    def _result(self, message: Fields, blocks: list[Block]) -> ToolResult:
        name, identity = message.string("tool_name") or message.string("name"), message.string("tool_call_id")
        wanted = [
            place for place in self._unanswered if identity == place[0] or (identity is None and name == place[1])
        ]
        if identity is None and name is None:
            wanted = self._unanswered[:1]
        if wanted:
            self._unanswered.remove(wanted[0])
        found = wanted[0] if wanted else (identity or name or "call", name or "")
        return ToolResult(found[0], tuple(blocks), name=name or found[1] or None)  # type: ignore[arg-type]
