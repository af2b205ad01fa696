"""Embeddings in the neutral form that every dialect maps to: texts, and one vector for each."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from tollkeeper.core.deltas import Failure
from tollkeeper.core.translation import Rendered, Terms
from tollkeeper.core.usage import Reported


class Texts(Struct, frozen=True, kw_only=True):
    """One request: what is to be embedded. Fields named as in `core.conversation.Conversation` mean what they do there."""

    dialect: str
    model: str | None
    inputs: tuple[str | tuple[int, ...], ...]
    """Texts, or tokens of the model's own."""
    dimensions: int | None = None
    single: bool = False
    """Whether the client's endpoint takes one text and gives one vector, in no list."""
    packed: bool = False
    """openai_embeddings: vectors go to the client as base64 of 32-bit floats, little-endian."""
    end_user: str | None = None
    own: dict[str, Any] = {}
    essential: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    words: Mapping[str, str] = {}


class Vectors(Struct, frozen=True, kw_only=True):
    """One answer: a vector for each input, in their order."""

    vectors: tuple[tuple[float, ...], ...]
    model: str | None = None
    reported: Reported | None = None


class Embedder(Protocol):
    """One dialect of embeddings, there and back, without I/O."""

    name: str
    prompt: tuple[str, ...]
    """Members of its requests whose texts become input."""
    paths: tuple[str, ...]
    """Where clients find it at the gate, where that names no model."""

    def read_request(self, body: bytes, path: str) -> Texts:
        """Raises CallerError."""
        ...

    def render_request(self, asked: Texts, terms: Terms) -> Rendered:
        """Raises CallerError where something cannot cross and must not be left out."""
        ...

    def read_answer(self, body: bytes) -> Vectors:
        """Raises ValueError where it is not an answer with vectors."""
        ...

    def render_answer(self, found: Vectors, asked: Texts, model: str) -> bytes:
        """`model`: what the client asked for, where the provider did not say."""
        ...

    def read_error(self, status: int, body: bytes) -> Failure: ...

    def render_failure(self, failure: Failure) -> bytes: ...
