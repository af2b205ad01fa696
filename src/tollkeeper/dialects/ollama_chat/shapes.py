"""Where words stand in a line: in a `message` with /api/chat, beside everything else with /api/generate."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from tollkeeper.core.conversation import TokenLogprob
from tollkeeper.core.deltas import StopReason
from tollkeeper.core.usage import Reported
from tollkeeper.dialects.ollama_chat import usage
from tollkeeper.dialects.ollama_chat.decoder import FILTERED

_encode = msgspec.json.encode
_REASONS: dict[StopReason, str] = {
    "length": "length",
    "context": "length",
    "compaction": "length",
    "refusal": FILTERED,
    "filter": FILTERED,
}


class Shape(Struct, frozen=True):
    """What stands before a JSON value in a line, after `head`; and what closes it."""

    text: bytes
    thinking: bytes
    calls: bytes
    closing: bytes
    silent: bytes
    """All of a line without words."""


CHAT = Shape(
    text=b'"message":{"role":"assistant","content":',
    thinking=b'"message":{"role":"assistant","content":"","thinking":',
    calls=b'"message":{"role":"assistant","content":"","tool_calls":',
    closing=b"}",
    silent=b'"message":{"role":"assistant","content":""}',
)
GENERATE = Shape(
    text=b'"response":',
    thinking=b'"response":"","thinking":',
    calls=b'"response":"","tool_calls":',
    closing=b"",
    silent=b'"response":""',
)


def head(model: str, created: int) -> bytes:
    """How every line begins. `created`: seconds since 1970, shown in UTC."""
    at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return b'{"model":%b,"created_at":%b,' % (_encode(model), _encode(at))


def tail(reason: StopReason, reported: Reported | None) -> bytes:
    """How the last line ends: stop reason and counts."""
    counts = _encode(usage.rendered(reported))[1:]
    why = b',"done":true,"done_reason":%b' % _encode(_REASONS.get(reason, "stop"))
    return why + (counts if counts == b"}" else b"," + counts)


def call(name_of_call: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool's call; arguments that are no object travel as one."""
    try:
        given = msgspec.json.decode(arguments or "{}")
    except ValueError:
        given = {"input": arguments}
    held = given if isinstance(given, dict) else {"input": given}
    return {"id": name_of_call, "function": {"name": name, "arguments": held}}


def logprobs(likely: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """`logprobs`."""
    return [{**_token(found), "top_logprobs": [_token(other) for other in found.top]} for found in likely]


def _token(found: TokenLogprob) -> dict[str, Any]:
    named = {"token": found.token, "logprob": found.logprob}
    return named if found.bytes is None else {**named, "bytes": found.bytes}
