"""Ollama's generate, there and back. Towards a provider it is a chat: only that takes more than one turn."""

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.translation import Identity
from tollkeeper.dialects.ollama_chat import answer
from tollkeeper.dialects.ollama_chat.encoder import OllamaEncoder
from tollkeeper.dialects.ollama_chat.shapes import GENERATE
from tollkeeper.dialects.ollama_chat.translator import OllamaChat
from tollkeeper.dialects.ollama_generate import reading
from tollkeeper.dialects.ollama_generate.reading import DIALECT


class OllamaGenerate(OllamaChat):
    """See `core.translation.Translator`."""

    name = DIALECT

    def read_request(self, body: bytes, path: str) -> Conversation:
        return reading.conversation(body)

    def render_answer(self, answered: Answer, identity: Identity) -> bytes:
        return answer.render(answered, identity, GENERATE)

    def encoder(self, identity: Identity) -> OllamaEncoder:
        return OllamaEncoder(identity, GENERATE)


TRANSLATOR = OllamaGenerate()
