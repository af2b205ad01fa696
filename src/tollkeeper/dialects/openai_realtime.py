"""OpenAI's Realtime API: the events of one response, and of a transcription, on a socket that is relayed as it is.

See https://platform.openai.com/docs/guides/realtime-conversations. Usage comes with `response.done`, and for what is
transcribed with `conversation.item.input_audio_transcription.completed`, which another model may have made.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard, Reported
from tollkeeper.dialects import openai_bounds, openai_request, openai_usage
from tollkeeper.wire import sse

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
DONE = "response.done"


class _Error(Struct):
    code: str | None = None
    type: str | None = None
    event_id: str | None = None


class _Details(Struct):
    error: _Error | None = None
    reason: str | None = None


class _Response(Struct):
    id: str | None = None
    status: str | None = None
    status_details: _Details | None = None
    usage: Raw | UnsetType = UNSET


class Seen(Struct):
    """What is looked at in an event."""

    type: str = ""
    event_id: str | None = None
    response_id: str | None = None
    response: _Response | None = None
    error: _Error | None = None
    delta: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET

    @property
    def of(self) -> str | None:
        """The id of the response that it is about."""
        if self.response_id is not None:
            return self.response_id
        return None if self.response is None else self.response.id


seen = msgspec.json.Decoder(Seen).decode
"""Raises msgspec.DecodeError."""
_decode_text = msgspec.json.Decoder(str).decode


class RealtimeReader:
    """Reads one response's events, or the one event of a transcription."""

    model: str | None = None
    tier: str | None = None
    once: str | None = None

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.reported: Reported | None = None
        self.finished = False
        self.error_code: str | None = None

    @property
    def done(self) -> bool:
        return self.finished

    def read(self, event: bytes) -> bytes:
        """The event itself. Raises ValueError where its data is not JSON."""
        data = sse.data_of(event)
        if data is None:
            return event
        found = seen(data)
        if found.type in (DONE, TRANSCRIBED):
            self.finished = True
        if found.type == "error":
            self.finished = True
            self.error_code = (found.error and (found.error.code or found.error.type)) or "error"
        usage = found.usage
        if found.response is not None:
            usage = found.response.usage if found.response.usage is not UNSET else usage
            if found.response.status == "failed":
                details = found.response.status_details
                self.error_code = (details and details.error and details.error.code) or "failed"
        if usage is not UNSET:
            self.reported = openai_usage.reported(bytes(usage)) or self.reported
        if found.delta is not UNSET and not found.type.endswith("audio.delta") and bytes(found.delta)[:1] == b'"':
            self._texts.append(_decode_text(found.delta))
        return event

    def delivered(self) -> str:
        """Words, transcripts of speech, arguments."""
        return "".join(self._texts)


class OpenAIRealtime:
    """See `core.ports.Dialect`."""

    name = "openai_realtime"
    operation = "realtime"
    needs_model = True
    json_answer = False
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = b""
    sealed = b""

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return openai_bounds.of_other(size)

    def read_answer(self, body: bytes) -> Heard:
        return Heard()

    def answer_text(self, body: bytes) -> str:
        return ""

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return []

    def reader(self, hide_usage: bool) -> RealtimeReader:
        return RealtimeReader()

    def render_error(self, error: TollkeeperError) -> bytes:
        return msgspec.json.encode(error_event(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return b"data: " + self.render_error(error) + b"\n\n"


def error_event(error: TollkeeperError, event_id: str | None = None) -> dict[str, Any]:
    """https://platform.openai.com/docs/api-reference/realtime-server-events/error; `event_id` is the client's."""
    about = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
    return {"type": "error", "event_id": "event_tollkeeper", "error": {**about, "event_id": event_id}}


DIALECT = OpenAIRealtime()
