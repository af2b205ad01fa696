"""Ollama's chat, there and back (https://docs.ollama.com/api/chat)."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.ollama_chat import answer, errors, reading, rendering
from tollkeeper.dialects.ollama_chat.decoder import DIALECT, OllamaDecoder
from tollkeeper.dialects.ollama_chat.encoder import OllamaEncoder


class OllamaChat:
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

    def decoder(self, sitting: Sitting) -> OllamaDecoder:
        return OllamaDecoder(sitting)

    def encoder(self, identity: Identity) -> OllamaEncoder:
        return OllamaEncoder(identity)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


TRANSLATOR = OllamaChat()
