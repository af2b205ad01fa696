"""Anthropic Messages, there and back (https://platform.claude.com/docs/en/api/messages)."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.anthropic_messages import answer, errors, reading, rendering
from tollkeeper.dialects.anthropic_messages.decoder import DIALECT, MessagesDecoder
from tollkeeper.dialects.anthropic_messages.encoder import MessagesEncoder


class AnthropicMessages:
    """See `core.translation.Translator`."""

    name = DIALECT

    def read_request(self, body: bytes, path: str) -> Conversation:
        return reading.conversation(body)

    def render_request(self, conversation: Conversation, terms: Terms) -> Rendered:
        return rendering.request(conversation, terms)

    def read_answer(self, body: bytes, sitting: Sitting) -> list[Delta]:
        return answer.read(body, sitting)

    def render_answer(self, answered: Answer, identity: Identity) -> bytes:
        return answer.render(answered, identity)

    def decoder(self, sitting: Sitting) -> MessagesDecoder:
        return MessagesDecoder(sitting)

    def encoder(self, identity: Identity) -> MessagesEncoder:
        return MessagesEncoder(identity)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


TRANSLATOR = AnthropicMessages()
