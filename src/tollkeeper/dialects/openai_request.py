"""What OpenAI's JSON requests have in common: typed looks at members, texts that become input tokens."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from tollkeeper.core.errors import CallerError
from tollkeeper.core.provider import Provider


@dataclass(frozen=True, slots=True)
class Ask:
    """Changes to a request's members so that usage is reported, and whether the client must not see it."""

    changes: Mapping[str, bytes] = field(default_factory=dict)
    hide_usage: bool = False


_decode_string: Callable[[Raw], str | None] = msgspec.json.Decoder(str | None).decode
ASK_NOTHING = Ask()
_ASK = Ask({"stream_options": b'{"include_usage":true}'}, hide_usage=True)


def ask_stream_usage(members: Mapping[str, Raw], provider: Provider, streamed: bool) -> Ask:
    """`stream_options.include_usage` for providers that report a stream's usage only when asked.

    Raises CallerError where stream_options is not an object.
    """
    if not streamed or provider.stream_usage != "ask":
        return ASK_NOTHING
    given = members.get("stream_options")
    if given is None:
        return _ASK
    try:
        options = msgspec.json.decode(given, type=dict[str, Any] | None)
    except msgspec.ValidationError:
        raise CallerError(
            "Invalid type for 'stream_options': expected an object.", code="invalid_type", param="stream_options"
        ) from None
    if not options:
        return _ASK
    if options.get("include_usage") is True:
        return ASK_NOTHING
    return Ask({"stream_options": msgspec.json.encode({**options, "include_usage": True})}, hide_usage=True)


def flag(members: Mapping[str, Raw], name: str) -> bool:
    """A boolean member, False where absent or null. Raises CallerError where it is anything else."""
    value = members.get(name)
    if value is None:
        return False
    text = bytes(value)
    if text == b"true":
        return True
    if text in (b"false", b"null"):
        return False
    raise CallerError(f"Invalid type for '{name}': expected a boolean.", code="invalid_type", param=name)


def string(members: Mapping[str, Raw], name: str) -> str | None:
    """A string member, None where absent or null. Raises CallerError where it is anything else."""
    value = members.get(name)
    if value is None:
        return None
    try:
        return _decode_string(value)
    except msgspec.ValidationError:
        raise CallerError(f"Invalid type for '{name}': expected a string.", code="invalid_type", param=name) from None


def texts(value: Any) -> Iterator[str]:
    """Every string of a decoded JSON value that a model would read: all but data: URLs and base64 payloads."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("data", "file_data", "url", "type", "id"):
                yield from texts(item)


def message_texts(members: Mapping[str, Raw], *names: str) -> list[str]:
    """One string for each element of the named members: the role, the words, the tools' schemas."""
    found = []
    for name in names:
        if name not in members:
            continue
        value = msgspec.json.decode(members[name])
        for item in value if isinstance(value, list) else [value]:
            found.append("\n".join(texts(item)))
    return found
