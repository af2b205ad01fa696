"""OpenAI's other endpoints: embeddings, moderations, images, audio, files, batches and whatever a provider adds.

They are relayed as they are; what they share is read by content: a `usage` object in the answer or in an event.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard, Reported
from tollkeeper.dialects import openai_answers, openai_bounds, openai_errors, openai_request, openai_usage
from tollkeeper.wire import sse


class _Event(Struct):
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Event).decode


_WITHOUT_OUTPUT = frozenset(("embeddings", "moderation"))


class EventStreamReader:
    """Reads image, speech and transcription events; these streams have no end marker that all of them send."""

    finished = True
    done = False
    model: str | None = None
    tier: str | None = None
    once: str | None = None

    def __init__(self) -> None:
        self.reported: Reported | None = None
        self.error_code: str | None = None

    def read(self, event: bytes) -> bytes:
        """The event itself, whatever it holds: these endpoints may stream what is not JSON."""
        data = sse.data_of(event)
        if data is not None and data.startswith(b"{"):
            try:
                seen = _decode(data)
            except (msgspec.DecodeError, RecursionError):
                return event
            if seen.usage is not UNSET:
                self.reported = openai_usage.reported(bytes(seen.usage)) or self.reported
            if seen.error is not UNSET and bytes(seen.error) != b"null":
                self.error_code = "error"
        return event

    def delivered(self) -> str:
        """Nothing that counts as text tokens."""
        return ""


class UnknownStreamReader(EventStreamReader):
    """Keeps the text of a stream too, as nothing says that its provider will report what it used."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []

    def read(self, event: bytes) -> bytes:
        data = sse.data_of(event)
        if data is not None:
            self._texts += _texts_of(data)
        return super().read(event)

    def delivered(self) -> str:
        """Every text that its events have had."""
        return "\n".join(self._texts)


class OpenAIEndpoint:
    """One endpoint, by its operation's name and by what it needs."""

    stream_type = sse.MEDIA_TYPE
    keep_alive = sse.KEEP_ALIVE
    sealed = b""

    def __init__(self, name: str, operation: str, *, needs_model: bool, json_answer: bool, prompt: str = "") -> None:
        self.name = name
        self.operation = operation
        self.needs_model = needs_model
        self.json_answer = json_answer
        self.opaque = operation in ("files", "batches")
        self.counts_text = operation == "embeddings"
        self._prompt = prompt

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        if self.operation in _WITHOUT_OUTPUT:
            return Bounds(size, output_tokens=0)
        return openai_bounds.of_other(size, openai_bounds.count(members, "n") or 1)

    def read_answer(self, body: bytes) -> Heard:
        return openai_answers.read(body)

    def answer_text(self, body: bytes) -> str:
        return ""

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, self._prompt) if self._prompt else []

    def reader(self, hide_usage: bool) -> EventStreamReader:
        return EventStreamReader()

    def render_error(self, error: TollkeeperError) -> bytes:
        return openai_errors.body(error)

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return openai_errors.event(error)


class UnknownEndpoint(OpenAIEndpoint):
    """A path that the gate does not know: it may lead to anything, and be another way to write a path that it does know.

    So where no usage is reported, all text that went there and came back is counted.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, "other", needs_model=False, json_answer=False)
        self.counts_text = True

    def answer_text(self, body: bytes) -> str:
        return "\n".join(_texts_of(body))

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, *members) if "model" in members else []

    def reader(self, hide_usage: bool) -> EventStreamReader:
        return UnknownStreamReader()


def _texts_of(data: bytes) -> list[str]:
    try:
        return list(openai_request.texts(msgspec.json.decode(data)))
    except (msgspec.DecodeError, RecursionError):
        return []


EMBEDDINGS = OpenAIEndpoint("openai_embeddings", "embeddings", needs_model=True, json_answer=True, prompt="input")
MODERATIONS = OpenAIEndpoint("openai_moderations", "moderation", needs_model=False, json_answer=True)
IMAGES = OpenAIEndpoint("openai_images", "image_generation", needs_model=False, json_answer=True, prompt="prompt")
SPEECH = OpenAIEndpoint("openai_speech", "speech", needs_model=True, json_answer=False, prompt="input")
TRANSCRIPTIONS = OpenAIEndpoint("openai_transcriptions", "transcription", needs_model=True, json_answer=False)
FILES = OpenAIEndpoint("openai_files", "files", needs_model=False, json_answer=False)
BATCHES = OpenAIEndpoint("openai_batches", "batches", needs_model=False, json_answer=False)
OTHER = UnknownEndpoint("openai_other")
