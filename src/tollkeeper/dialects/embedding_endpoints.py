"""Embeddings passed on as they are, and overheard, for clients and providers who both speak a dialect."""

from collections.abc import Mapping

from msgspec import Raw

from tollkeeper.core.budget import Bounds
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.embedding import Embedder
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ports import Dialect
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_endpoints, openai_request
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.dialects.openai_endpoints import EventStreamReader
from tollkeeper.wire import sse


class EmbeddingEndpoint:
    """One dialect's."""

    operation = "embeddings"
    needs_model = True
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = b""
    sealed = b""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return Bounds(size, output_tokens=0)

    def read_answer(self, body: bytes) -> Heard:
        """Raises ValueError where it is not an answer with vectors."""
        found = self._embedder.read_answer(body)
        return Heard(found.reported, found.model)

    def answer_text(self, body: bytes) -> str:
        return ""

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, *self._embedder.prompt)

    def reader(self, hide_usage: bool) -> EventStreamReader:
        return EventStreamReader()

    def render_error(self, error: TollkeeperError) -> bytes:
        return self._embedder.render_failure(failure_of(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return self.render_error(error)


ENDPOINTS: dict[str, Dialect] = {
    **{name: EmbeddingEndpoint(embedder) for name, embedder in EMBEDDERS.items()},
    openai_endpoints.EMBEDDINGS.name: openai_endpoints.EMBEDDINGS,
}
"""By name."""
