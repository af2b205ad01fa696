"""The Responses API, there and back (https://platform.openai.com/docs/api-reference/responses)."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.openai_responses import answer, errors, reading, rendering
from tollkeeper.dialects.openai_responses.decoder import DIALECT, ResponsesDecoder
from tollkeeper.dialects.openai_responses.encoder import ResponsesEncoder


class ResponsesTranslator:
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

    def decoder(self, sitting: Sitting) -> ResponsesDecoder:
        return ResponsesDecoder(sitting)

    def encoder(self, identity: Identity) -> ResponsesEncoder:
        return ResponsesEncoder(identity)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


TRANSLATOR = ResponsesTranslator()
