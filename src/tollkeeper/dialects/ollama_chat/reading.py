"""Requests of Ollama's clients become conversations (https://docs.ollama.com/api/chat).

Rule 1: a stream is what they get unless they say otherwise.
Rule 2: where calls have no ids they are numbered through the request; a result without one answers the first call of its
        tool that waits for an answer.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tollkeeper.core.conversation import (
    AnyTool,
    Block,
    Conversation,
    Foreign,
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
    "later_instructions": "messages.role",
    "foreign": "messages",
}
_MEMORY = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa", "use_mmap", "use_mlock")
_HINTS = frozenset(("keep_alive", "truncate", "shift", *(f"options.{name}" for name in _MEMORY)))
"""How Ollama keeps a model in memory, not what it says."""
_KINDS = (("/9j/", "image/jpeg"), ("iVBOR", "image/png"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
"""How base64 of these begins: Ollama's clients send no type."""


def conversation(body: bytes) -> Conversation:
    """Of /api/chat. Raises CallerError."""
    fields = Fields.of_body(body)
    turns = Turns().of(fields.objects("messages"))
    if not turns:
        raise fields.refused("messages", "has nothing in it: models are not loaded", "missing_required_parameter")
    return finished(fields, DIALECT, turns)


def finished(fields: Fields, dialect: str, turns: tuple[Turn, ...], essential: Mapping[str, Any] = {}) -> Conversation:
    """What /api/chat and /api/generate have in common. `essential`: what was asked for that only Ollama can do."""
    tools = tuple(_tool(tool) for tool in fields.objects("tools"))
    sampling, others = _sampling(fields)
    stream = fields.flag("stream")
    read: dict[str, Any] = {
        "model": fields.string("model"),
        "output": _output(fields),
        "thinking": _thinking(fields),
    }
    own = {**essential, **fields.rest()}
    own |= {f"options.{name}": value for name, value in others.items()}
    return Conversation(
        dialect=dialect,
        turns=turns,
        tools=tools,
        sampling=sampling,
        stream=stream is None or stream,
        own=own,
        essential=tuple(essential),
        hints=tuple(name for name in own if name in _HINTS),
        unread=fields.unread,
        words=WORDS,
        **read,
    )


def _sampling(fields: Fields) -> tuple[Sampling, dict[str, Any]]:
    """And those options that no other dialect knows."""
    logprobs, top = fields.flag("logprobs"), fields.integer("top_logprobs")
    options = fields.object("options")
    if options is None:
        return Sampling(logprobs=logprobs, top_logprobs=top), {}
    limit = options.integer("num_predict")
    stop = options.list_of_strings("stop")
    sampling = Sampling(
        max_tokens=None if limit is None or limit < 0 else limit,
        temperature=options.number("temperature"),
        top_p=options.number("top_p"),
        top_k=options.integer("top_k"),
        stop=tuple(stop) if stop else None,
        seed=options.integer("seed"),
        frequency_penalty=options.number("frequency_penalty"),
        presence_penalty=options.number("presence_penalty"),
        logprobs=logprobs,
        top_logprobs=top,
    )
    return sampling, options.rest()


def _output(fields: Fields) -> OutputFormat | None:
    found = fields.take("format")
    if found is None or found == "":
        return None
    if found == "json":
        return OutputFormat("json")
    if isinstance(found, dict):
        return OutputFormat("schema", found)
    raise fields.refused("format", "must be json or a JSON schema", "invalid_value")


def _thinking(fields: Fields) -> Thinking | None:
    found = fields.take("think")
    if found is None or found == "":
        return None
    if isinstance(found, bool):
        return Thinking() if found else Thinking("none")
    if isinstance(found, str):
        return Thinking(found)
    raise fields.refused("think", "must be a boolean or a level")


def _tool(fields: Fields) -> AnyTool:
    kind = fields.string("type") or "function"
    if kind != "function":
        return Foreign(DIALECT, msgspec.json.encode({"type": kind, **fields.rest()}))
    inner = fields.object("function")
    if inner is None:
        raise fields.refused("function", "is required", "missing_required_parameter")
    tool = Tool(inner.needed("name"), inner.string("description"), inner.mapping("parameters"))
    inner.close()
    fields.skip("items")
    fields.close()
    return tool


def images(fields: Fields) -> list[Block]:
    """`images`: base64, without a type."""
    found = fields.list_of_strings("images") or []
    return [Image(Inline(_kind(data), data)) for data in found]


def _kind(data: str) -> str:
    return next((kind for beginning, kind in _KINDS if data.startswith(beginning)), "image/jpeg")


class Turns:
    """Messages on their way into turns."""

    def __init__(self) -> None:
        self._called = 0
        self._waiting: list[tuple[str, str]] = []
        """Ids and names of calls that have no result yet."""

    def of(self, messages: list[Fields]) -> tuple[Turn, ...]:
        turns: list[Turn] = []
        for message in messages:
            role = message.needed("role")
            if role == "tool":
                result = self._result(message)
                if turns and turns[-1].role == "tool":
                    turns[-1] = Turn("tool", (*turns[-1].blocks, result))
                else:
                    turns.append(Turn("tool", (result,)))
            elif role == "assistant":
                turns.append(Turn("assistant", tuple(self._assistant(message))))
            elif role in ("system", "user"):
                turns.append(Turn(role, tuple(_content(message))))  # type: ignore[arg-type]
            else:
                raise message.refused("role", "must be system, user, assistant or tool", "invalid_value")
            message.close()
        return tuple(turns)

    def _assistant(self, message: Fields) -> list[Block]:
        thoughts = message.string("thinking")
        blocks: list[Block] = [Reasoning(thoughts)] if thoughts else []
        blocks += _content(message)
        for call in message.objects("tool_calls"):
            call.skip("type")
            inner = call.object("function")
            if inner is None:
                raise call.refused("function", "is required", "missing_required_parameter")
            inner.skip("index")
            given, name = call.string("id") or f"call_{self._called}", inner.needed("name")
            arguments = inner.mapping("arguments")
            self._called += 1
            self._waiting.append((given, name))
            blocks.append(ToolUse(given, name, msgspec.json.encode(arguments).decode() if arguments else ""))
            inner.close()
            call.close()
        return blocks

    def _result(self, message: Fields) -> ToolResult:
        given, name = message.string("tool_call_id"), message.string("tool_name") or message.string("name")
        message.skip("name")
        waiting = self._waiting
        at = next(
            (at for at, call in enumerate(waiting) if (call[0] == given if given else name in (None, call[1]))), None
        )
        if at is not None:
            given, name = waiting.pop(at)
        if given is None:
            raise message.refused("tool_name", "names no call that waits for a result", "invalid_value")
        return ToolResult(given, tuple(_content(message)), name=name)  # type: ignore[arg-type]


def _content(message: Fields) -> list[Block]:
    text = message.string("content")
    blocks: list[Block] = [Text(text)] if text else []
    return blocks + images(message)
