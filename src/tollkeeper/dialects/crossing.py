"""An answer on its way from a provider of one dialect to a client of another: translated, and heard for metering."""

from msgspec import Struct

from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import Delta, Failed, Start, TextDelta, ToolStart, UsageNoted, failure_of
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.translation import Decoder, Encoder, Identity, Sitting, Translator
from tollkeeper.core.usage import Heard, Reported

_JOIN_AT = 256


class Translated(Struct, frozen=True):
    """A whole answer in the client's dialect."""

    body: bytes
    heard: Heard
    text: str
    """Its words, for counting where no usage was reported."""
    error_code: str | None = None


class TranslatedReader:
    """Reads a provider's events and gives the client's (see `core.ports.EventReader`).

    Beyond that: `close` gives what a clean end of bytes leaves to be said, `fail` ends the client's stream badly. Events
    of the one side are not events of the other: nothing may be forwarded that has not been read.
    """

    __slots__ = ("_decoder", "_encoder", "_texts", "error_code", "model", "once", "reported", "tier")

    def __init__(self, decoder: Decoder, encoder: Encoder) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._texts: list[str] = []
        self.reported: Reported | None = None
        self.model: str | None = None
        self.tier: str | None = None
        self.once: str | None = None
        self.error_code: str | None = None

    @property
    def finished(self) -> bool:
        return self._decoder.finished

    @property
    def done(self) -> bool:
        return self._decoder.done

    def read(self, event: bytes) -> bytes:
        """The client's events for the provider's. Raises ValueError where it is not one of the provider's dialect."""
        return self._pass(self._decoder.feed(event))

    def close(self) -> bytes:
        """What the client gets at a clean end of the provider's bytes."""
        return self._pass(self._decoder.close())

    def fail(self, error: TollkeeperError) -> bytes:
        """What the client gets in the place of an end."""
        return self._encoder.feed([Failed(failure_of(error))])

    def delivered(self) -> str:
        return "".join(self._texts)

    def _pass(self, deltas: list[Delta]) -> bytes:
        texts = self._texts
        for delta in deltas:
            kind = type(delta)
            if kind is TextDelta:
                texts.append(delta.text)  # type: ignore[attr-defined]
                if len(texts) > _JOIN_AT:
                    texts[:] = ["".join(texts)]
            else:
                self._hear(delta)
        return self._encoder.feed(deltas)

    def _hear(self, delta: Delta) -> None:
        if isinstance(delta, UsageNoted):
            self.reported = delta.reported
            self.tier = delta.tier or self.tier
        elif isinstance(delta, ToolStart):
            self._texts.append(delta.name)
        elif isinstance(delta, Start):
            self.model = delta.model or self.model
            self.reported = delta.usage or self.reported
        elif isinstance(delta, Failed):
            self.error_code = delta.failure.code or delta.failure.type or "error"


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
            return Translated(self._client.render_failure(failure), heard, "\n".join(said), code)
        return Translated(self._client.render_answer(answer, self._identity), heard, "\n".join(said))

    def refusal(self, status: int, body: bytes) -> bytes:
        """A provider's error answer in the client's dialect."""
        return self._client.render_failure(self._provider.read_error(status, body))
