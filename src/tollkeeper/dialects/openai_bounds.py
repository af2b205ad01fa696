"""What OpenAI's requests can cost at most: input by their bytes, output by the limits that they set themselves."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import CallerError

_FRAME = 256
"""Tokens that a provider may put around what was sent: chat templates begin with a date and a role of their own."""
_TOOLS = 1024
"""The same, once there are tools: a preamble that explains how to call them."""
_MOST = 10**9
_TEXTS = frozenset(("text", "refusal", "input_text", "output_text", "summary_text", "reasoning_text", "thinking"))
_OWN_TOOLS = frozenset(("function", "custom"))
_ITEMS = frozenset(("message", "function_call", "custom_tool_call", "reasoning"))
_OUTPUTS = frozenset(("function_call_output", "custom_tool_call_output"))
_SEARCHES = frozenset(("web_search_options", "search_parameters", "enable_search", "data_sources", "plugins"))
"""Members by which OpenAI, xAI, DashScope, Azure and OpenRouter put what they find into the prompt."""
_STORED = frozenset(("previous_response_id", "conversation", "prompt"))
"""Members of a Responses request that stand for what the provider keeps."""
_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")


class _Typed(Struct):
    type: str | None = None


class _Message(Struct):
    content: str | list[_Typed] | None = None
    audio: Any = None


class _Item(Struct):
    type: str | None = None
    content: Raw = Raw(b"null")
    output: Raw = Raw(b"null")


_decode_typed = msgspec.json.Decoder(list[_Typed]).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode
_decode_number: Callable[[Raw], int | None] = msgspec.json.Decoder(int | None, strict=True).decode


def of_chat(members: Mapping[str, Raw], size: int, takes: tuple[str, ...]) -> Bounds:
    """Of POST /chat/completions with a body of `size` bytes; `takes`: the members by which the provider limits output."""
    output: int | None = None
    stated = False
    for name in _CHAT_LIMITS:
        if name in members and (limit := count(members, name)) is not None:
            obeyed = name in takes
            if obeyed == stated:
                output = limit if output is None else max(output, limit)
            elif obeyed:
                output, stated = limit, True
    return Bounds(
        size + _frame(members),
        _tools_elsewhere(members) or not _SEARCHES.isdisjoint(members) or _messages_elsewhere(members),
        output,
        (count(members, "n") or 1) if "n" in members else 1,
        takes[0],
        stated,
    )


def of_completion(members: Mapping[str, Raw], size: int) -> Bounds:
    """Of POST /completions: each prompt of a list is answered for itself, `best_of` times."""
    choices = max(count(members, "n") or 1, count(members, "best_of") or 1)
    return Bounds(
        input_tokens=(size + _FRAME) * choices,
        output_tokens=count(members, "max_tokens"),
        choices=choices * _prompts(members.get("prompt")),
        field="max_tokens",
    )


def of_response(members: Mapping[str, Raw], size: int) -> Bounds:
    """Of POST /responses. Built-in tools read what they find, in as many rounds as they like."""
    return Bounds(
        input_tokens=size + _frame(members),
        elsewhere=_tools_elsewhere(members)
        or any(bytes(members[name]) != b"null" for name in _STORED if name in members)
        or _items_elsewhere(members.get("input")),
        output_tokens=count(members, "max_output_tokens"),
        field="max_output_tokens",
    )


def of_other(size: int, choices: int = 1) -> Bounds:
    """Of what is neither: its output has no limit that could be set."""
    return Bounds(size + _FRAME, choices=choices)


def count(members: Mapping[str, Raw], name: str) -> int | None:
    """A number of tokens or answers; None where absent, null or below zero, which some servers read as no limit.

    Raises CallerError where it is anything else.
    """
    value = members.get(name)
    if value is None:
        return None
    try:
        found = _decode_number(value)
    except msgspec.DecodeError:
        raise CallerError(f"Invalid type for '{name}': expected an integer.", code="invalid_type", param=name) from None
    return None if found is None or found < 0 else min(found, _MOST)


def _frame(members: Mapping[str, Raw]) -> int:
    return _FRAME + _TOOLS if "tools" in members or "functions" in members else _FRAME


def _tools_elsewhere(members: Mapping[str, Raw]) -> bool:
    tools = members.get("tools")
    return tools is not None and not _all_of(tools, _OWN_TOOLS)


def _messages_elsewhere(members: Mapping[str, Raw]) -> bool:
    messages = members.get("messages")
    if messages is None:
        return True
    try:
        found = _decode_messages(messages)
    except (msgspec.DecodeError, RecursionError):
        return True
    for message in found:
        if message.audio is not None:
            return True
        if type(message.content) is list and any(part.type not in _TEXTS for part in message.content):
            return True
    return False


def _items_elsewhere(given: Raw | None) -> bool:
    if given is None or _first(given) == b'"':
        return False
    try:
        items = _decode_items(given)
    except (msgspec.DecodeError, RecursionError):
        return True
    for item in items:
        kind = item.type or "message"
        if kind in _ITEMS:
            if not _is_text(item.content):
                return True
        elif kind not in _OUTPUTS or not _is_text(item.output):
            return True
    return False


def _is_text(content: Raw) -> bool:
    """A string, nothing, or a list of parts that are texts."""
    first = _first(content)
    return first == b'"' or first == b"n" or (first == b"[" and _all_of(content, _TEXTS))


def _first(value: Raw) -> bytes:
    return memoryview(value)[:1].tobytes()


def _all_of(listed: Raw, kinds: frozenset[str]) -> bool:
    """Whether all objects of a list are of these types; a null is an empty list."""
    try:
        return all(item.type in kinds for item in _decode_typed(listed))
    except (msgspec.DecodeError, RecursionError):
        return bytes(listed) == b"null"


def _prompts(prompt: Raw | None) -> int:
    """How many prompts there are: a list of texts or of token lists has several, a list of tokens is one."""
    if prompt is None or _first(prompt) != b"[":
        return 1
    try:
        found: list[Any] = msgspec.json.decode(prompt)
    except (msgspec.DecodeError, RecursionError):
        return 1
    return 1 if not found or isinstance(found[0], int) else len(found)
