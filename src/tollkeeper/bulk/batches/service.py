"""What a provider's batch API must be able to do, whichever provider's it is."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.usage import Heard


class Part(Struct, frozen=True, kw_only=True):
    """Rows that go to the provider as one batch."""

    number: int
    token: str
    """Ours, unique: it is in each row's custom_id, and in the batch's metadata where there are any."""
    path: str
    """The endpoint, below the version prefix: chat/completions."""
    model: str
    """As the rows ask for it."""
    rows: int
    planned_at: int
    """Unix seconds."""
    state: Literal["planned", "submitting", "submitted", "ended"] = "planned"
    """submitting: a request to begin it may have reached the provider."""
    batch: str | None = None
    """The provider's id, once it is known."""

    def index(self, custom_id: str) -> int:
        """The row that a result is of; -1 where it is not of this part."""
        token, _, index = custom_id.rpartition("-")
        return int(index) if token == self.token and index.isascii() and index.isdigit() else -1


Renamed = Mapping[int, Mapping[str, str]]
"""By row: tools whose names the provider was told otherwise, the caller's names by the provider's."""


class Standing(Struct, frozen=True):
    """How far a batch is."""

    over: bool
    """Whether no more results can come."""
    failed: str | None = None
    """Why the provider took none of its rows: a sentence."""
    code: str | None = None
    at_fault: tuple[tuple[int, str], ...] = ()
    """Rows that it does not take: (place in the part from 0, why)."""


class Result(Struct, frozen=True):
    """What came of one row."""

    custom_id: str
    status: int
    """HTTP status; 0 where the row was never run."""
    body: bytes
    """An answer or an error in OpenAI's form."""
    heard: Heard = Heard()
    request_id: str | None = None


class Framing(Struct, frozen=True):
    """How lines become a request's body."""

    before: bytes
    between: bytes
    after: bytes
    kind: str
    """The body's content type."""


class Unclear(UpstreamError):
    """A batch may or may not have begun: nobody knows before the provider has been asked."""


T = TypeVar("T")


def read_as(decode: Callable[[bytes], T], body: bytes) -> T:
    """What a batch API answered. Raises UpstreamError where it is not that."""
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamError("The provider's answer is not one of a batch API.", code="batch_api_invalid") from None


class Service(Protocol):
    """One kind of batch API, for one target."""

    most_rows: int
    most_bytes: int

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """The row as the provider wants it, for a body in OpenAI's form. Raises CallerError where it cannot be."""
        ...

    def framing(self, part: Part) -> "Framing":
        """What stands around and between a part's lines in the file that `begin` sends."""
        ...

    async def begin(self, part: Part, file: Path) -> str:
        """The new batch's id. Raises Unclear where the provider may have begun it, UpstreamError where it has not."""
        ...

    async def find(self, part: Part, known: frozenset[str]) -> str | None:
        """The batch that an unclear `begin` has made; None where there is none. May take as long as a batch does.

        `known` are batches that are others' for certain.
        """
        ...

    async def look(self, batch: str) -> Standing:
        """Raises UpstreamError."""
        ...

    def renamed(self, path: str, body: bytes) -> Mapping[str, str]:
        """Tools of a row whose names `line` changes: the row's own by the provider's."""
        ...

    def results(self, part: Part, batch: str, renamed: Renamed) -> AsyncIterator[Result]:
        """Of a batch that is over: what has come of its rows, not necessarily of all. Raises UpstreamError."""
        ...


class Calls(Protocol):
    """The way to the provider."""

    async def ask(self, path: str) -> bytes:
        """What is at a path. Asked again while that may help. Raises UpstreamError."""
        ...

    async def upload(self, path: str, file: Path, kind: str) -> bytes:
        """The answer to a file, which may be sent again where nobody knows whether it came. Raises UpstreamError."""
        ...

    async def begin(self, path: str, body: bytes | Path) -> bytes:
        """The answer to JSON that must not be sent twice. Raises Unclear, UpstreamError."""
        ...

    def lines(self, path: str) -> AsyncIterator[bytes]:
        """A file's lines. Raises UpstreamError."""
        ...

    async def wait(self) -> None:
        """Until it is time to look again."""
        ...
