"""An answer on its way from a provider of one dialect to a client of another: translated, and heard for metering."""

from msgspec import Struct

from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import PING, Failed, failure_of
from tollkeeper.core.embedding import Embedder, Texts
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.translation import Decoder, Encoder, Identity, Sitting, Translator
from tollkeeper.core.usage import Heard
from tollkeeper.dialects.hearing import Hearing


class Translated(Struct, frozen=True):
    """A whole answer in the client's dialect."""

    body: bytes
    heard: Heard
    text: str
    """Its words, for counting where no usage was reported."""
    error_code: str | None = None
    status: int = 200


class TranslatedReader(Hearing):
    """Reads a provider's events and gives the client's (see `core.ports.EventReader`).

    Beyond that: `close` gives what a clean end of bytes leaves to be said, `fail` ends the client's stream badly. Events
    of the one side are not events of the other: nothing may be forwarded that has not been read.
    """

    def __init__(self, decoder: Decoder, encoder: Encoder) -> None:
        super().__init__(decoder)
        self._encoder = encoder

    def read(self, event: bytes) -> bytes:
        """The client's events for the provider's. Raises ValueError where it is not one of the provider's dialect."""
        deltas = self._decoder.feed(event)
        self.hear(deltas)
        return self._encoder.feed(deltas)

    def close(self) -> bytes:
        """What the client gets at a clean end of the provider's bytes."""
        deltas = self._decoder.close()
        self.hear(deltas)
        return self._encoder.feed(deltas)

    def keep_alive(self) -> bytes:
        """What may go into a silence, if the client's dialect has anything for it."""
        return self._encoder.feed([PING])

    def fail(self, error: TollkeeperError) -> bytes:
        """What the client gets in the place of an end."""
        return self._encoder.feed([Failed(failure_of(error))])


class Crossing:
    """One attempt at a provider who speaks another dialect than the client."""

    def __init__(self, client: Translator, provider: Translator, sitting: Sitting, identity: Identity) -> None:
        self._client = client
        self._provider = provider
        self._sitting = sitting
        self._identity = identity

    def reader(self) -> TranslatedReader:
        """For one stream."""
        return TranslatedReader(self._provider.decoder(self._sitting), self._client.encoder(self._identity))

    def answer(self, body: bytes) -> Translated:
        """A whole answer. Raises ValueError where the body is not an answer of the provider's dialect."""
        answer = gathered(self._provider.read_answer(body, self._sitting))
        heard = Heard(answer.reported, answer.model, answer.tier)
        said = [
            getattr(block, "text", "") or getattr(block, "arguments", "")
            for choice in answer.choices
            for block in choice.blocks
        ]
        if answer.failure is not None:
            failure = answer.failure
            code = failure.code or failure.type or "error"
            return Translated(self._client.render_failure(failure), heard, "\n".join(said), code, failure.status)
        return Translated(self._client.render_answer(answer, self._identity), heard, "\n".join(said))

    def streamed(self, body: bytes) -> bytes:
        """A whole answer as the stream that the client asked for. Raises ValueError as `answer` does."""
        return self._client.encoder(self._identity).feed(self._provider.read_answer(body, self._sitting))

    def refusal(self, status: int, body: bytes) -> bytes:
        """A provider's error answer in the client's dialect."""
        return self._client.render_failure(self._provider.read_error(status, body))


class EmbeddingCrossing:
    """One attempt at a provider whose embeddings are asked for in another dialect. `model`: as the client calls it."""

    def __init__(self, client: Embedder, provider: Embedder, asked: Texts, model: str) -> None:
        self._client = client
        self._provider = provider
        self._asked = asked
        self._model = model

    def answer(self, body: bytes) -> Translated:
        """A whole answer. Raises ValueError where the body is not an answer of the provider's dialect."""
        found = self._provider.read_answer(body)
        if len(found.vectors) != len(self._asked.inputs):
            raise ValueError("not one vector for each text")
        return Translated(
            self._client.render_answer(found, self._asked, self._model), Heard(found.reported, found.model), ""
        )

    def refusal(self, status: int, body: bytes) -> bytes:
        """A provider's error answer in the client's dialect."""
        return self._client.render_failure(self._provider.read_error(status, body))
