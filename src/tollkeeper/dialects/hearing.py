"""A stream heard for metering as its pieces pass: usage, model, tier, errors, and the words so far."""

from tollkeeper.core.deltas import Delta, Failed, Start, TextDelta, ToolStart, UsageNoted
from tollkeeper.core.translation import Decoder
from tollkeeper.core.usage import Reported

_JOIN_AT = 256


class Hearing:
    """What `core.ports.EventReader` tells, learned from a decoder's pieces."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
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

    def delivered(self) -> str:
        """Words, thoughts, refusals and tool calls that have passed."""
        return "".join(self._texts)

    def hear(self, deltas: list[Delta]) -> None:
        """Takes note of these pieces."""
        texts = self._texts
        for delta in deltas:
            if type(delta) is TextDelta:
                texts.append(delta.text)
                if len(texts) > _JOIN_AT:
                    texts[:] = ["".join(texts)]
            else:
                self._note(delta)

    def _note(self, delta: Delta) -> None:
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


class OverheardReader(Hearing):
    """For client and provider of one dialect: the very bytes pass."""

    def read(self, event: bytes) -> bytes:
        """The event itself. Raises ValueError where it is not one of the dialect."""
        self.hear(self._decoder.feed(event))
        return event
