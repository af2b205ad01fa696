"""Gemini's generateContent passed on as it is, and overheard (https://ai.google.dev/api/generate-content)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from tollkeeper.core.budget import Bounds
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.translation import Sitting
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_request
from tollkeeper.dialects.gemini_generate import errors
from tollkeeper.dialects.gemini_generate.decoder import DIALECT as NAME
from tollkeeper.dialects.gemini_generate.decoder import GeminiDecoder, decode
from tollkeeper.dialects.gemini_generate.spelling import camel
from tollkeeper.dialects.hearing import Hearing, OverheardReader
from tollkeeper.wire import sse

_SITTING = Sitting(origin=NAME)
_FRAME = 1024
"""Tokens that may be put around what was sent."""
_TEXTS = frozenset(("text", "thought", "thoughtSignature", "functionCall", "functionResponse"))
_SPELLINGS = ("systemInstruction", "system_instruction", "contents", "tools")


class GeminiGenerate:
    """Usage comes unasked, with every chunk. What limits the output stands inside a member of the request."""

    name = NAME
    operation = "generate_content"
    needs_model = True
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = b""
    sealed = b'"dGsx'  # the same in base64

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        spelled = "generation_config" if "generation_config" in members else "generationConfig"
        config = _read(members, spelled)
        config = config if isinstance(config, dict) else {}
        limit = _count(config, "maxOutputTokens")
        return Bounds(
            input_tokens=size + _FRAME,
            elsewhere=_elsewhere(members),
            output_tokens=limit,
            choices=_count(config, "candidateCount") or 1,
            field=f"{spelled}.maxOutputTokens",
            stated=limit is not None,
        )

    def read_answer(self, body: bytes) -> Heard:
        """Raises ValueError where it is not JSON."""
        try:
            hearing = _heard(body)
        except msgspec.DecodeError:
            raise
        except ValueError:
            return Heard()  # JSON, but no object
        return Heard(hearing.reported, hearing.model, hearing.tier)

    def answer_text(self, body: bytes) -> str:
        return _heard(body).delivered()

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, *_SPELLINGS)

    def reader(self, hide_usage: bool) -> OverheardReader:
        return OverheardReader(GeminiDecoder(_SITTING))

    def render_error(self, error: TollkeeperError) -> bytes:
        return errors.render(failure_of(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return errors.render_event(failure_of(error))


def _heard(body: bytes) -> Hearing:
    decoder = GeminiDecoder(_SITTING)
    hearing = Hearing(decoder)
    hearing.hear(decoder.hear(decode(body), body))
    return hearing


def _read(members: Mapping[str, Raw], *spellings: str) -> Any:
    """The first of these members that is there, all its names in camelCase; None where none is, or none can be read."""
    for name in spellings:
        if name in members:
            try:
                return camel(msgspec.json.decode(members[name]))
            except (msgspec.DecodeError, RecursionError):
                return None
    return None


def _count(config: dict[str, Any], name: str) -> int | None:
    """Raises CallerError where it is no number of tokens or answers."""
    found = config.get(name)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool):
        path = f"generationConfig.{name}"
        raise CallerError(f"Invalid type for '{path}': expected an integer.", code="invalid_type", param=path)
    return found if found >= 0 else None


def _elsewhere(members: Mapping[str, Raw]) -> bool:
    """Whether there is anything whose tokens are not bounded by its bytes: files, caches, what hosted tools find."""
    if "cachedContent" in members or "cached_content" in members:
        return True
    tools = _read(members, "tools")
    if tools is not None:
        listed = tools if isinstance(tools, list) else [tools]
        if any(not isinstance(tool, dict) or tool.keys() - {"functionDeclarations"} for tool in listed):
            return True
    contents = _read(members, "contents")
    turns = contents if isinstance(contents, list) else [contents]
    return not all(isinstance(turn, dict) and _is_text(turn.get("parts")) for turn in turns)


def _is_text(parts: Any) -> bool:
    listed = parts if isinstance(parts, list) else [parts]
    return all(
        isinstance(part, dict) and not part.keys() - _TEXTS and not _has_files(part.get("functionResponse"))
        for part in listed
    )


def _has_files(response: Any) -> bool:
    return isinstance(response, dict) and bool(response.get("parts"))


DIALECT = GeminiGenerate()
