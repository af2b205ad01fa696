"""Gemini's generateContent, there and back (https://ai.google.dev/api/generate-content)."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.gemini_generate import answer, errors, reading, rendering
from tollkeeper.dialects.gemini_generate.decoder import DIALECT, GeminiDecoder
from tollkeeper.dialects.gemini_generate.encoder import GeminiEncoder


class GeminiGenerate:
    """See `core.translation.Translator`."""

    name = DIALECT

    def read_request(self, body: bytes, path: str) -> Conversation:
        return reading.conversation(body, path)

    def render_request(self, conversation: Conversation, terms: Terms) -> Rendered:
        return rendering.request(conversation, terms)

    def read_answer(self, body: bytes, sitting: Sitting) -> list[Delta]:
        return answer.read(body, sitting)

    def render_answer(self, answered: Answer, identity: Identity) -> bytes:
        return answer.render(answered, identity)

    def decoder(self, sitting: Sitting) -> GeminiDecoder:
        return GeminiDecoder(sitting)

    def encoder(self, identity: Identity) -> GeminiEncoder:
        return GeminiEncoder(identity)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


TRANSLATOR = GeminiGenerate()
