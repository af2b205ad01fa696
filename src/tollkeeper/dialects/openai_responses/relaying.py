"""The Responses API: /responses and what lies below it (https://platform.openai.com/docs/api-reference/responses)."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard, Reported
from tollkeeper.dialects import lenient, openai_answers, openai_bounds, openai_errors, openai_request, openai_usage
from tollkeeper.wire import sse


class _Response(Struct):
    id: str | None = None
    background: bool | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Event(Struct):
    type: str = ""
    delta: Raw | UnsetType = UNSET
    response: _Response | None = None
    code: str | int | None = None


_decode = lenient.decoder(_Event)
_decode_response = lenient.decoder(_Response)
_decode_text = msgspec.json.Decoder(str).decode
_TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))
_JOIN_AT = 256


class ResponsesReader:
    """Reads events until one of the terminal ones. There is no `[DONE]` (none in 24 recorded streams), but it may come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.reported: Reported | None = None
        self.model: str | None = None
        self.tier: str | None = None
        self.once: str | None = None
        self.finished = False
        self.done = False
        self.error_code: str | None = None

    def read(self, event: bytes) -> bytes:
        """The event itself. Raises ValueError where its data is not JSON."""
        data = sse.data_of(event)
        if data is None or data == b"[DONE]":
            return event
        seen = _decode(data)
        if seen.type in _TERMINAL:
            self.finished = self.done = True
            if seen.type in ("error", "response.failed"):
                self.error_code = str(seen.code or seen.type)
        response = seen.response
        if response is not None:
            if response.model:
                self.model = response.model
            self.tier = response.service_tier or self.tier
            self.once = _once(response)
            if response.usage is not UNSET:
                self.reported = openai_usage.reported(bytes(response.usage)) or self.reported
        if seen.delta is not UNSET and seen.type.endswith(".delta"):
            text = bytes(seen.delta)
            if text.startswith(b'"'):
                self._texts.append(_decode_text(text))
                if len(self._texts) > _JOIN_AT:
                    self._texts[:] = ["".join(self._texts)]
        return event

    def delivered(self) -> str:
        """Every delta so far: text, reasoning summaries, arguments."""
        return "".join(self._texts)


def _once(response: _Response) -> str | None:
    """A background response reports its usage whenever it is looked at: it is charged once."""
    return response.id if response.background else None


class OpenAIResponses:
    """OpenAI's newer endpoint. Usage comes unasked, in the terminal event."""

    name = "openai_responses"
    operation = "chat"
    needs_model = False
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = sse.KEEP_ALIVE
    sealed = b'"tk1'

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return openai_bounds.of_response(members, size) if path == "responses" else openai_bounds.of_other(size)

    def read_answer(self, body: bytes) -> Heard:
        heard = openai_answers.read(body)
        try:
            once = _once(_decode_response(body))
        except ValueError:
            return heard  # JSON, but no object
        return heard if once is None else msgspec.structs.replace(heard, once=once)

    def answer_text(self, body: bytes) -> str:
        answer = msgspec.json.decode(body)
        return "\n".join(openai_request.texts(answer.get("output") if isinstance(answer, dict) else None))

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, "instructions", "input", "tools")

    def reader(self, hide_usage: bool) -> ResponsesReader:
        return ResponsesReader()

    def render_error(self, error: TollkeeperError) -> bytes:
        return openai_errors.body(error)

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return openai_errors.named_event(error)


DIALECT = OpenAIResponses()
