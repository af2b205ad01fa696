"""One request for a provider's work on its way in, and the reply on its way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Raw, Struct

from tollkeeper.core.account import Balancing, Target
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key

if TYPE_CHECKING:
    from tollkeeper.core.conversation import Conversation
    from tollkeeper.core.embedding import Texts
    from tollkeeper.core.ports import Dialect, Line, Ways


class Presence:
    """Whether the client is still there. Doors call `leave`; whoever must act at once registers with `on_leave`."""

    __slots__ = ("_callbacks", "gone")

    def __init__(self) -> None:
        self.gone = False
        self._callbacks: list[Callable[[], None]] | None = None

    def on_leave(self, callback: Callable[[], None]) -> None:
        """Runs `callback` when the client leaves; at once if it has left."""
        if self.gone:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def settled(self) -> None:
        """Nobody need be told any more."""
        self._callbacks = None

    def leave(self) -> None:
        """The client's connection is gone."""
        if self.gone:
            return
        self.gone = True
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()


@dataclass(slots=True)
class Upload:
    """A body that is passed on as it comes: a form or a file."""

    chunks: AsyncIterator[bytes]
    length: int | None
    """Bytes in all; None where the client did not say."""
    replace: Callable[[str], tuple[AsyncIterator[bytes], int | None]] | None = None
    """Gives the chunks and length with another model named in the form; None where there is no such field."""


class Destination:
    """Targets that are in no config's routing, and how calls are shared out among them."""

    __slots__ = ("__weakref__", "balancing", "identity", "targets")

    def __init__(self, targets: Sequence[Target], balancing: Balancing, identity: bytes = b"") -> None:
        self.identity = identity
        """What tells it from others where equal calls are to be known: its targets may change what they are asked."""
        self.targets = targets
        self.balancing = balancing


class Call(Struct):
    """A request as the gate understood it. Its bytes stay the client's own until they are rendered for a provider."""

    request_id: str
    key: Key
    dialect: Dialect
    method: str
    path: str
    """Below the version prefix, without leading slash, still percent-encoded: "chat/completions"."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """The client's headers, names in lower case."""
    body: bytes | Upload
    model: str | None
    streamed: bool
    accepted_at: float
    """Monotonic seconds."""
    presence: Presence
    named: Mapping[bytes, bytes] = {}
    """The same headers by name; of several with one name, the last."""
    members: Mapping[str, Raw] = {}
    """Top-level members of a JSON body."""
    framing: Literal["events", "array"] = "events"
    """array: its stream is wanted as one JSON array, which cannot be relayed as it comes."""
    conversation: Conversation | Texts | None = None
    """The request in neutral form, once it had to be read."""
    metered: bool = True
    """Whether the usage that the answer reports is charged."""
    provider: str | None = None
    """The provider asked for by header, for requests that name no model."""
    timeout: float | None = None
    """Seconds from `accepted_at` that its caller gives it, answer included."""
    session: str | None = None
    """What its caller named the conversation that it belongs to."""
    idempotency: str | None = None
    """The beginning of the hash of its Idempotency-Key."""
    patient: bool = True
    """Whether it may wait in order to ask a target again; other targets are asked in any case."""
    line: Line | None = None
    """What it is part of, and the only way to its provider; None: it goes wherever it is routed."""
    ways: Ways | None = None
    """Other ways out than the usual one."""
    destination: Destination | None = None
    """Where it goes in place of where its model's name leads."""
    bare: bool = False
    """Whoever asks wants the provider's own headers, and to be told nothing: it looks at `events`."""
    dry: bool = False
    """Only asks what would happen: rules are evaluated, nothing is taken, nothing is sent."""
    events: list[Event] = []
    """The records of its attempts that have ended."""
    notes: list[tuple[object, ...]] = []
    """What the rules found, for `explain`: each begins with the rule's name; the rest are numbers and names, no content."""
    elsewhere: float = 0.0
    """Seconds that went by at providers in attempts that came to nothing."""
    under_way: int = 0
    """Attempts that were sent and are not recorded yet."""
    _endings: list[Callable[[Call], None]] | None = None
    _over: bool = False
    _ended: bool = False

    def on_end(self, callback: Callable[[Call], None]) -> None:
        """Runs `callback` once when the call is over, at once if it is: its last attempt is recorded, or it was refused."""
        if self._ended:
            callback(self)
        elif self._endings is None:
            self._endings = [callback]
        else:
            self._endings.append(callback)

    def end(self) -> None:
        """Nothing more will be tried: the call is over as soon as its attempts are recorded. Saying it again is safe."""
        self._over = True
        if self.under_way or self._ended:
            return
        self._ended = True
        endings, self._endings = self._endings, None
        for callback in endings or ():
            callback(self)

    def recorded(self) -> None:
        """One of its attempts is."""
        self.under_way -= 1
        if self._over and not self.under_way:
            self.end()


class Sink(Protocol):
    """Where a reply's pieces go."""

    def write(self, data: bytes) -> None:
        """Takes them at once, whether or not the client is there and keeps up."""
        ...

    @property
    def blocked(self) -> Awaitable[None] | None:
        """To be awaited before more is written, where the client does not keep up."""
        ...


class Reply(Struct):
    """What the client gets: a whole body, or pieces poured into a sink. An exception out of `pour` means: abort."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    pour: Callable[[Sink], Awaitable[None]] | None = None
    relayed: bool = False
    """Somebody else's answer: its head is sent as it is, with its length, its request id and what caches may do with it."""
