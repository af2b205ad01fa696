"""Which calls may be answered from memory, which answers may be kept, and what a caller can say about it; pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.core.limits import Positive, Seconds

HEADER = b"x-tollkeeper-cache"
_PATHS = {
    "openai_chat": "chat/completions",
    "openai_completions": "completions",
    "openai_embeddings": "embeddings",
    "openai_moderations": "moderations",
    "openai_responses": "responses",
}
_ABOUT_THE_CALLER = frozenset(
    ("model", "stream", "user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention")
)
"""`model` and `stream` are in the key anyway. The others name who asks, label what is stored, or steer the provider's own
cache: they do not reach the model, and these endpoints' answers do not repeat them."""
_IN_THE_ANSWER_TOO = frozenset(("model", "stream"))
"""/responses repeats `user`, `metadata` and the rest in its answers: another's must not be in one's own."""
_ELSEWHERE = (
    # State, work or a world outside the request: the same request does not mean the same answer, or does something.
    "previous_response_id",
    "conversation",
    "background",
    "web_search_options",
    "plugins",
    "store",
    "generate",
)
_HARMLESS_TOOLS = frozenset(("function", "custom"))
_decode_tools = msgspec.json.Decoder(list[dict[str, Any]]).decode


class ModelCache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[models.NAME.cache]"""

    ttl: Seconds
    """How long an answer is given again."""
    shared: bool = False
    """Across all teams, owners and keys."""


class CacheOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[cache]"""

    header: bool = True
    """Whether callers may ask with x-tollkeeper-cache; otherwise the header says nothing."""
    max_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    """Of kept answers; the one that was not used for longest goes first. Those under way may take as much again."""
    max_answer_bytes: Positive = 1024 * 1024
    """A larger answer is not kept, and nobody can join it."""
    max_ttl: Seconds = 86_400.0
    """The longest that a caller can ask for."""


class Wish(Struct, frozen=True):
    """What a caller said."""

    ttl: float | None = None
    look: bool = True
    keep: bool = True


@lru_cache(256)
def wish(value: bytes) -> Wish:
    """x-tollkeeper-cache: `ttl=600`, `refresh`, both with a comma between, or `no-store`. Raises CallerError."""
    ttl: float | None = None
    look = keep = True
    for word in value.lower().split(b","):
        name, _, number = word.strip().partition(b"=")
        if name == b"ttl" and number.isdigit() and len(number) < 10 and int(number) > 0:
            ttl = float(int(number))
        elif word.strip() == b"refresh":
            look = False
        elif word.strip() == b"no-store":
            keep = False
        else:
            raise CallerError(
                "x-tollkeeper-cache takes 'ttl=SECONDS', 'refresh', or 'no-store'.",
                code="invalid_value",
                param="x-tollkeeper-cache",
            )
    return Wish(ttl, look, keep)


def cacheable(call: Call) -> bool:
    """Whether the request's bytes decide the answer, as far as anything does with a model."""
    if call.method != "POST" or not call.members or _PATHS.get(call.dialect.name) != call.path:
        return False
    members = call.members
    if call.dialect.name == "openai_responses" and (
        bytes(members.get("store", b"")) != b"false" or _set(members, "prompt")
    ):
        return False  # what is stored there can be asked for again, and is by default; a stored prompt can change
    return not any(_set(members, name) for name in _ELSEWHERE) and not _acts(members.get("tools"))


def _set(members: Mapping[str, Raw], name: str) -> bool:
    value = members.get(name)
    return value is not None and bytes(value) not in (b"null", b"false", b"[]")


def _acts(tools: Raw | None) -> bool:
    """Whether the provider itself runs one of the tools: a search, a program, a remote server. Functions are only named
    in an answer; it is the caller who runs them."""
    if tools is None or bytes(tools) == b"null":
        return False
    try:
        return any(tool.get("type") not in _HARMLESS_TOOLS for tool in _decode_tools(tools))
    except (msgspec.DecodeError, RecursionError):
        return True


def left_out(call: Call) -> frozenset[str]:
    """Top-level members that cannot change this call's answer."""
    return _IN_THE_ANSWER_TOO if call.dialect.name == "openai_responses" else _ABOUT_THE_CALLER


class _Ending(Struct):
    finish_reason: Any = None


class _Answer(Struct):
    error: Any = None
    status: Any = None
    choices: list[_Ending] | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def sound(body: bytes) -> bool:
    """Whether a whole answer under a 200 is one: some providers put errors there, and responses may have failed."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    failed = answer.error is not None or answer.status not in (None, "completed", "incomplete")
    return not failed and all(choice.finish_reason != "error" for choice in answer.choices or ())
