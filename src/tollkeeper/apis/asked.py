"""What every published API is asked and answers, however it is reached: over HTTP, over a socket, by name.

Whoever reaches it makes a `core.call.Call` with the caller's key, request id and headers, in the OpenAI chat dialect and
with nothing in its body; the API fills in what it asks of the model.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Raw, Struct

from tollkeeper.core.call import Call


class Pieces(Protocol):
    """Where the pieces of a streamed answer go."""

    def take(self, pieces: list[bytes]) -> None:
        """Each is JSON: a string for a piece of text, anything for a piece of something else. Joined by whoever reads."""
        ...

    @property
    def blocked(self) -> Awaitable[None] | None:
        """To be awaited before more is given, where the reader does not keep up."""
        ...


@dataclass(slots=True)
class Asked:
    """One request to a published API."""

    call: Call
    """As it came in; see above."""
    body: bytes
    """A JSON object."""
    members: Mapping[str, Raw]
    """Its top-level members."""
    streamed: bool
    """Whether the caller wants pieces as they come."""


@dataclass(slots=True)
class Answered:
    """An answer: whole, or a stream of pieces. A streamed one has begun well; what goes wrong later is raised by `pour`."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    """JSON."""
    status: int = 200
    pour: Callable[[Pieces], Awaitable[None]] | None = None
    """Gives every piece and returns. Raises TollkeeperError where the answer breaks off."""


class Description(Struct, frozen=True, kw_only=True):
    """What callers are told of an API. Schemas are JSON Schema (2020-12), without references to other documents."""

    name: str
    path: str
    text: str
    """In the author's words; may be empty."""
    model: str | None
    request: dict[str, Any]
    answer: dict[str, Any]
    piece: dict[str, Any]
    """Of what a streamed answer is made."""
    example: dict[str, Any]
    answer_example: Any
    definitions: dict[str, Any] = {}
    """Schemas that the others refer to as #/components/schemas/NAME."""


class Api(Protocol):
    """Something published."""

    description: Description

    async def answer(self, asked: Asked) -> Answered:
        """Raises TollkeeperError, and only that."""
        ...
