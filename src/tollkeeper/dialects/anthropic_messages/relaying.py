"""Anthropic Messages passed on as they are, and overheard (https://platform.claude.com/docs/en/api/messages)."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from tollkeeper.core.budget import Bounds
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.provider import Provider
from tollkeeper.core.translation import Sitting
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import openai_request
from tollkeeper.dialects.anthropic_messages import bounds, errors, usage
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT as NAME
from tollkeeper.dialects.anthropic_messages.decoder import MessagesDecoder, decode_message
from tollkeeper.dialects.endpoint import POST, Endpoint
from tollkeeper.dialects.hearing import OverheardReader
from tollkeeper.dialects.openai_endpoints import UnknownEndpoint
from tollkeeper.wire import sse

_SITTING = Sitting(origin=NAME)


class AnthropicMessages:
    """Usage comes unasked: the input's with the first event of a stream, all of it with the last but one."""

    name = NAME
    operation = "chat"
    needs_model = True
    json_answer = True
    opaque = False
    counts_text = True
    stream_type = sse.MEDIA_TYPE
    keep_alive = sse.KEEP_ALIVE
    sealed = b'"tk1'

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return bounds.of(members, size)

    def read_answer(self, body: bytes) -> Heard:
        """Raises ValueError where it is not JSON."""
        try:
            message = decode_message(body)
        except msgspec.DecodeError:
            raise
        except ValueError:
            return Heard()  # JSON, but no object
        if message.usage is msgspec.UNSET:
            return Heard(None, message.model)
        raw = bytes(message.usage)
        return Heard(usage.reported(raw), message.model, usage.tier(raw))

    def answer_text(self, body: bytes) -> str:
        answer = msgspec.json.decode(body)
        return "\n".join(openai_request.texts(answer.get("content") if isinstance(answer, dict) else None))

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        return openai_request.message_texts(members, "system", "messages", "tools")

    def reader(self, hide_usage: bool) -> OverheardReader:
        return OverheardReader(MessagesDecoder(_SITTING))

    def render_error(self, error: TollkeeperError) -> bytes:
        return errors.render(failure_of(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return errors.render_event(failure_of(error))


class AnthropicEndpoint(UnknownEndpoint):
    """What lies below /messages: batches and what may come. Relayed as it is."""

    def render_error(self, error: TollkeeperError) -> bytes:
        return errors.render(failure_of(error))

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return errors.render_event(failure_of(error))


DIALECT = AnthropicMessages()
OTHER = AnthropicEndpoint("anthropic_other")
ENDPOINTS = {"messages": Endpoint(DIALECT, "messages", "json", POST)}
"""Where clients find it at the gate."""
