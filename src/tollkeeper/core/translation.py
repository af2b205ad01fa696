"""What a dialect must be able to do so that any client can talk to any provider through it."""

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

from tollkeeper.core.answers import Answer
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failure


class Terms(Struct, frozen=True, kw_only=True):
    """What the target of a request asks for, beyond what its dialect says. All of it is data about a provider."""

    model: str
    """As the provider calls it."""
    origin: str
    """Whose seals it can read: the provider's family."""
    strict: bool = False
    """Refuse what cannot cross, instead of leaving it out and saying so."""
    output_limit: int | None = None
    """The model's bound on output tokens, for dialects that must name one where the client did not."""
    limit_field: str = "max_completion_tokens"
    """openai_chat: how the bound on output is called; older servers only know max_tokens."""
    replays_reasoning: bool = False
    """openai_chat: wants its own reasoning_content back in the history (DeepSeek, Moonshot)."""
    reports_stream_usage: bool = True
    """openai_chat: takes stream_options.include_usage."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A request for a provider."""

    path: str
    """Below the version: "chat/completions"."""
    body: bytes
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    dropped: tuple[str, ...] = ()
    """What was left out, as the client's dialect calls it."""
    renamed: Mapping[str, str] = {}
    """Tools whose names the provider would not take: the client's names by the provider's."""
    filled: str | None = None
    """The member that bounds the output, where the dialect must name one and the client did not: ours to lower."""


class Sitting(Struct, frozen=True, kw_only=True):
    """What a decoder must know of the request whose answer it reads."""

    origin: str
    """Goes into the seals that it finds."""
    renamed: Mapping[str, str] = {}
    id: str = ""
    """Unique to the request: ids of tool calls are made of it where the provider gives none."""


class Identity(Struct, frozen=True, kw_only=True):
    """What an encoder needs where the provider did not say it."""

    id: str
    """Without a dialect's prefix."""
    created: int
    """Seconds since 1970."""
    model: str
    stream_usage: bool = True
    """Whether the client wants to see a stream's usage."""
    framing: Literal["events", "array"] = "events"
    """gemini_generate: a stream that was not asked for with alt=sse is one JSON array."""
    asked: Conversation | None = None
    """The client's request, for dialects that repeat it in the answer."""


class Decoder(Protocol):
    """Reads one provider's stream. Made anew for each."""

    @property
    def finished(self) -> bool:
        """Whether a clean end of bytes now is the end of the answer, not a cut."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing more can come."""
        ...

    def feed(self, event: bytes) -> list[Delta]:
        """The pieces in one raw event. Raises ValueError where the event is not one of this dialect."""
        ...

    def close(self) -> list[Delta]:
        """The pieces that were held back, at a clean end of bytes."""
        ...


class Encoder(Protocol):
    """Writes one client's stream: a state machine that keeps the dialect's order whatever order pieces come in."""

    def feed(self, deltas: list[Delta]) -> bytes:
        """Whole events, joined; empty where the pieces have to wait or say nothing in this dialect."""
        ...


class Translator(Protocol):
    """One dialect, there and back, without I/O."""

    name: str

    def read_request(self, body: bytes, path: str) -> Conversation:
        """Raises CallerError."""
        ...

    def render_request(self, conversation: Conversation, terms: Terms) -> Rendered:
        """Raises CallerError where something cannot cross and must not be left out."""
        ...

    def read_answer(self, body: bytes, sitting: Sitting) -> list[Delta]:
        """A whole answer as the pieces it would have streamed. Raises ValueError where it is not an answer."""
        ...

    def render_answer(self, answer: Answer, identity: Identity) -> bytes: ...

    def decoder(self, sitting: Sitting) -> Decoder: ...

    def encoder(self, identity: Identity) -> Encoder: ...

    def read_error(self, status: int, body: bytes) -> Failure:
        """What a provider complains of, whatever the body holds."""
        ...

    def render_failure(self, failure: Failure) -> bytes:
        """A whole error answer."""
        ...
