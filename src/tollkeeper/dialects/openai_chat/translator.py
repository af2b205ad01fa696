"""Chat Completions, there and back (https://platform.openai.com/docs/api-reference/chat)."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure
from tollkeeper.core.translation import Identity, Rendered, Sitting, Terms
from tollkeeper.dialects.openai_chat import answer, errors, reading, rendering
from tollkeeper.dialects.openai_chat.decoder import DIALECT, ChatDecoder
from tollkeeper.dialects.openai_chat.encoder import ChatEncoder


class ChatTranslator:
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

    def decoder(self, sitting: Sitting) -> ChatDecoder:
        return ChatDecoder(sitting)

    def encoder(self, identity: Identity) -> ChatEncoder:
        return ChatEncoder(identity)

    def read_error(self, status: int, body: bytes) -> Failure:
        return errors.read(status, body)

    def render_failure(self, failure: Failure) -> bytes:
        return errors.render(failure)


TRANSLATOR = ChatTranslator()
