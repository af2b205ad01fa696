"""Ollama's chat and generate passed on as they are, and overheard (https://docs.ollama.com/api/chat)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.core.budget import Bounds
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.translation import Sitting
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_request
from tollkeeper.dialects.endpoint import POST, Endpoint
from tollkeeper.dialects.hearing import Hearing, OverheardReader
from tollkeeper.dialects.ollama_chat import errors
from tollkeeper.dialects.ollama_chat.decoder import DIALECT as NAME
from tollkeeper.dialects.ollama_chat.decoder import OllamaDecoder, decode
from tollkeeper.wire import ndjson

_SITTING = Sitting(origin=NAME)
_FRAME = 1024
"""Tokens that a model's template may put around what was sent."""


class _Options(Struct):
    num_predict: int | None = None


class _Message(Struct):
    images: list[Any] | None = None


_decode_options = msgspec.json.Decoder(_Options | None).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode


class OllamaLines:
    """Usage comes unasked, with the last line. What limits the output stands inside a member of the request."""

    operation = "chat"
    needs_model = True
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = ndjson.MEDIA_TYPE
    keep_alive = b""
    sealed = b""

    def __init__(self, name: str, *prompt: str) -> None:
        self.name = name
        self._prompt = prompt

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        limit = _limit(members.get("options"))
        return Bounds(
            input_tokens=size + _FRAME,
            elsewhere=_pictures(members),
            output_tokens=limit,
            field="options.num_predict",
            stated=limit is not None,
        )

    def read_answer(self, body: bytes) -> Heard:
        """Raises ValueError where it is not JSON."""
        hearing = _heard(body)
        return Heard(hearing.reported, hearing.model)

    def answer_text(self, body: bytes) -> str:
        return _heard(body).delivered()

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, *self._prompt)

    def reader(self, hide_usage: bool) -> OverheardReader:
        return OverheardReader(OllamaDecoder(_SITTING))

    def render_error(self, error: TollkeeperError) -> bytes:
        return errors.render(failure_of(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return errors.render_event(failure_of(error))


def _heard(body: bytes) -> Hearing:
    decoder = OllamaDecoder(_SITTING)
    hearing = Hearing(decoder)
    hearing.hear(decoder.hear(decode(body), body))
    return hearing


def _limit(options: Raw | None) -> int | None:
    """`num_predict`; None where there is none, or below zero, which means no limit. Raises CallerError."""
    if options is None:
        return None
    try:
        found = _decode_options(options)
    except (msgspec.DecodeError, RecursionError):
        raise CallerError(
            "Invalid type for 'options.num_predict': expected an integer.",
            code="invalid_type",
            param="options.num_predict",
        ) from None
    limit = None if found is None else found.num_predict
    return None if limit is None or limit < 0 else limit


def _pictures(members: Mapping[str, Raw]) -> bool:
    """Whether there is anything whose tokens are not bounded by its bytes."""
    if "images" in members or "context" in members:
        return True
    messages = members.get("messages")
    if messages is None:
        return False
    try:
        return any(message.images for message in _decode_messages(messages))
    except (msgspec.DecodeError, RecursionError):
        return True


DIALECT = OllamaLines(NAME, "messages", "tools")
ENDPOINTS = {"api/chat": Endpoint(DIALECT, "api/chat", "json", POST, streams="unless told")}
"""Where clients find it at the gate."""
