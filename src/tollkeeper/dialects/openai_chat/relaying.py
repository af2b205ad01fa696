"""Chat Completions passed on as they are, and overheard (https://platform.openai.com/docs/api-reference/chat)."""

from collections.abc import Mapping

from msgspec import Raw

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_answers, openai_bounds, openai_errors, openai_request
from tollkeeper.dialects.openai_chunks import ChunkReader
from tollkeeper.wire import sse


class OpenAIChat:
    """The dialect that most clients and most providers speak."""

    name = "openai_chat"
    operation = "chat"
    needs_model = True
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = sse.KEEP_ALIVE
    sealed = b'"tk1'

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ask_stream_usage(members, provider, streamed)

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return openai_bounds.of_chat(members, size, provider.output_limit)

    def read_answer(self, body: bytes) -> Heard:
        return openai_answers.read(body)

    def answer_text(self, body: bytes) -> str:
        messages = (choice.get("message") for choice in openai_answers.choices(body))
        return "\n".join("".join(openai_request.texts(message)) for message in messages)

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, "messages", "tools", "functions")

    def reader(self, hide_usage: bool) -> ChunkReader:
        return ChunkReader(hide_usage)

    def render_error(self, error: TollkeeperError) -> bytes:
        return openai_errors.body(error)

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return openai_errors.event(error)


DIALECT = OpenAIChat()
