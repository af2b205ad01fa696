"""The seams between rooms: what each side may count on, and nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Raw

from tollkeeper.core.account import Patience, Target
from tollkeeper.core.budget import Bounds, Slice, Spent
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.gcra import Allowance, Standing
from tollkeeper.core.kept import Kept
from tollkeeper.core.keys import Key
from tollkeeper.core.origin import Origin
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard, Reported, Usage

Headers = list[tuple[bytes, bytes]]
Handler = Callable[[Call], Awaitable[Reply]]


class Policy(Protocol):
    """One rule around a call: answers it, refuses it by raising, or passes it on and may look at the reply."""

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        """A coroutine, or a plain function that says `return next(call)` for calls that it has nothing to do with."""
        ...


class EventReader(Protocol):
    """Reads one stream's events as they pass. Made anew for each stream."""

    reported: Reported | None
    """The last usage that the stream reported."""
    model: str | None
    tier: str | None
    once: str | None
    """See `Heard.once`."""
    error_code: str | None
    """Set once an error event passed."""

    @property
    def finished(self) -> bool:
        """Whether the dialect's own end of stream was seen: a clean end of bytes without it is a cut."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing more can come: the client need not wait for the provider's connection to say so."""
        ...

    def read(self, event: bytes) -> bytes:
        """What the client gets for this raw event: the event itself, nothing, or the event less what only we asked for.

        Raises ValueError where the event is not one of this dialect.
        """
        ...

    def delivered(self) -> str:
        """The text that has passed so far, for counting where no usage was reported."""
        ...


class Asked(Protocol):
    """How a request must change so that the provider reports usage, and whether the client must not see that."""

    @property
    def changes(self) -> Mapping[str, bytes]: ...

    @property
    def hide_usage(self) -> bool: ...


class Dialect(Protocol):
    """One wire format, read and written without I/O."""

    name: str
    operation: str
    """OpenTelemetry's gen_ai.operation.name."""
    needs_model: bool
    """Whether a request without `model` is an error."""
    json_answer: bool
    """Whether an answer that is neither JSON nor an event stream cannot be right."""
    opaque: bool
    """Whether answers are somebody's files, relayed unread."""
    counts_text: bool
    """Whether the request's and the answer's texts are what the provider counts as tokens."""
    stream_type: bytes
    """The media type of its streams."""
    keep_alive: bytes
    """What may go into a silent stream between two events; empty where clients take nothing of the kind."""
    sealed: bytes
    """How a string begins that only we can read: a request that holds it cannot be relayed as it is. Empty: nowhere."""

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> Asked:
        """Raises CallerError where the fields it looks at have the wrong shape."""
        ...

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        """What a request of `size` bytes can cost at most. Raises CallerError where a limit in it is no number."""
        ...

    def read_answer(self, body: bytes) -> Heard:
        """What a whole answer says about itself. Raises ValueError where it is not JSON."""
        ...

    def answer_text(self, body: bytes) -> str: ...

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        """The request's texts that become input tokens, one string per message or document."""
        ...

    def reader(self, hide_usage: bool) -> EventReader: ...

    def render_error(self, error: TollkeeperError) -> bytes: ...

    def render_error_event(self, error: TollkeeperError) -> bytes:
        """One whole event that ends a stream badly."""
        ...


class Ledger(Protocol):
    """What may not be forgotten. Only `hold` may be waited for; an end is queued, never awaited."""

    def hold(self, hold: Hold) -> Awaitable[None]:
        """Returns when the hold is on disk. Raises GateError when it cannot be written. Whoever is cancelled while waiting
        releases it, for it may be there already."""
        ...

    def settle(self, event: Event, once: str | None = None, *, look: bool = False) -> None:
        """Queues the event and the end of its hold, both in one transaction. A second event of one attempt is ignored.

        `once` names what the usage is of. A mere `look` at what has been charged is written without usage and cost.
        """
        ...

    def release(self, request_id: str, attempt: int) -> None:
        """Queues the end of a hold whose attempt was never sent."""
        ...


class Reservation(Protocol):
    """Money or tokens set aside for one attempt, in every budget that it falls under."""

    @property
    def held_nano(self) -> int | None:
        """Nano-USD; None where no budget in money was asked."""
        ...

    @property
    def held_tokens(self) -> int | None:
        """None where no budget in tokens was asked."""
        ...

    @property
    def changes(self) -> Mapping[str, bytes]:
        """Members that must go to the provider with these values, so that the attempt stays within what is held."""
        ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """What the client is told."""
        ...

    @property
    def output_tokens(self) -> int:
        """How many of them what is held pays for, all choices together."""
        ...

    def grow(self, output_tokens: int) -> bool:
        """The attempt goes on past `output_tokens`: more is held for it, or False where a budget has no more."""
        ...

    def stopped(self) -> TollkeeperError:
        """What the client is told where it did not grow and the answer is stopped."""
        ...

    def settle(self, cost_nano: int | None, usage: Usage, response: str | None, ended: bool) -> None:
        """The attempt is over and this was its cost (None: unknown): nothing is held for it any more.

        Unless the provider goes on with its `response`, which has not `ended`: then it is, until a look finds the end.
        """
        ...

    def release(self) -> None:
        """The attempt was never sent. Safe to say again, and after its end."""
        ...


class Budgets(Protocol):
    """Who may still spend. What was spent it hears from the ledger, event by event."""

    def concern(self, key: Key) -> bool:
        """Whether any budget holds for this key's calls."""
        ...

    def let_go(self, request_id: str) -> bool:
        """What an earlier process set aside for that, and left to a provider, is not held any more; whether it was."""
        ...

    async def reserve(self, call: Call, target: Target, at_ms: int) -> Reservation | None:
        """Sets aside what an attempt at `target`, begun at `at_ms` (Unix ms), can cost at most.

        None: it costs nothing. Where it is not to be made, only asked about, nothing is set aside.

        Raises CallerError: budget_exceeded, budget_held (a retry can help), price_unknown; GateError.
        """
        ...


class Balances(Protocol):
    """What the ledger says was spent."""

    async def spent(self, slices: Sequence[Slice], at_cut: Callable[[], None]) -> list[Spent]:
        """Sums, one for each slice, of all events that the ledger had taken at one moment, and of none after it.

        `at_cut` is run at that moment: whoever is told of every event from then on misses none and has none twice.
        Raises GateError where the ledger cannot be read.
        """
        ...


class Limiter(Protocol):
    """Counts what limits allow. It may forget at a restart; several gates may share one, or work from leases of one.

    `allowances` and `costs` go together, one cost for each: units to take; 1 for a limit of calls under way.
    """

    async def take(self, allowances: Sequence[Allowance], costs: Sequence[int], holder: str) -> list[Standing]:
        """Takes all or nothing: nothing where any standing has a wait, and all standings are as of nothing taken then.

        `holder` names the call, so that a shared store can free what a gate held that crashed.
        """
        ...

    async def look(self, allowances: Sequence[Allowance], costs: Sequence[int]) -> list[Standing]:
        """What `take` would answer."""
        ...

    def adjust(self, allowances: Sequence[Allowance], deltas: Sequence[int], holder: str) -> None:
        """Takes more, or gives back (below zero), whatever the limit says. Queued where not at hand, never awaited."""
        ...


class Answers(Protocol):
    """Answers kept to be given again. What is forgotten is only made anew."""

    async def get(self, name: bytes) -> Kept | None:
        """The answer of that name, None where there is none or its time is over."""
        ...

    def put(self, name: bytes, answer: Kept, ttl: float) -> None:
        """Keeps it for `ttl` seconds, in the place of another of that name; at once or a little later."""
        ...


class Origins(Protocol):
    """Which account keeps what has an id, and who had it made."""

    any: bool
    """False as long as none has ever been remembered."""

    def find(self, ids: Sequence[str]) -> Mapping[str, Origin]:
        """Of those ids that are known. Raises GateError."""
        ...

    def remember(self, ids: Sequence[str], origin: Origin, *, lasting: bool) -> None:
        """At once for this process, and on disk with the next events; what is known already stays. `lasting`: until it is
        forgotten, not only as long as events are kept.
        """
        ...

    def forget(self, id: str) -> None:
        """It is there no more."""
        ...


class Tickets(Protocol):
    """A key's right to open one socket, soon."""

    async def issue(self, key: Key) -> tuple[str, float]:
        """A new ticket, and the seconds for which it can be used. Raises GateError."""
        ...

    async def redeem(self, ticket: str) -> Key | None:
        """The key, the first time; None for what is used, over or no ticket. Raises GateError."""
        ...


class Keys(Protocol):
    """Who may call."""

    def find(self, secret: bytes) -> Key | None:
        """The usable key that `secret` is, in a time that does not depend on whether there is one."""
        ...


class Observer(Protocol):
    """Told of every event once it is final: logs and metrics."""

    def __call__(self, event: Event) -> None: ...


class Sent(Protocol):
    """A request under way and its answer. `status` and `headers` are there once `head` has returned."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def reused(self) -> bool:
        """Whether the connection had carried answers before: then its end may mean that it was closed all along."""
        ...

    @property
    def sent_at(self) -> float:
        """Monotonic time at which the request had been handed to the network."""
        ...

    @property
    def first_byte_at(self) -> float: ...

    @property
    def last_byte_at(self) -> float: ...

    def head(self) -> Awaitable[None]:
        """Waits for the answer's status and headers. Raises UpstreamError."""
        ...

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        """The next bytes of the body, None at its proper end.

        Raises UpstreamError where the body is cut or stalls, TimeoutError after `timeout` seconds without bytes (the
        answer stays usable).
        """
        ...

    async def pour(self, push: Callable[[bytes], bool], quiet: float | None = None) -> bool:
        """Pushes the body's bytes as they arrive, until its proper end (True) or until `push` answers False (False).

        No task is woken for a piece. Raises as `next_chunk`; TimeoutError after `quiet` seconds without bytes, give or
        take a tenth.
        """
        ...

    def arrived(self) -> bytes | None:
        """The whole body, where all of it has come already and none of it was taken; None: it is to be read."""
        ...

    async def read(self, limit: int) -> tuple[bytes, bool]:
        """Up to `limit` bytes or a little more, and whether that is the whole body."""
        ...

    def close(self) -> None:
        """Ends it at once, whatever is still to come; safe to call again and after the end."""
        ...

    def limit_to(self, seconds: float) -> None:
        """Gives up on the body this many seconds from now."""
        ...


class Outbound(Protocol):
    """The way out."""

    async def send(
        self,
        method: bytes,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        timeouts: Patience,
    ) -> Sent:
        """Returns when the request has been handed to the network. Raises UpstreamError."""
        ...


class Line(Outbound, Protocol):
    """A connection to one provider that is open already, and carries a call that can go nowhere else."""

    @property
    def target(self) -> Target: ...


class Ways(Protocol):
    """What knows of other ways out than the usual one, for one call."""

    def out(self, target: Target, usual: Outbound, relayed: bool) -> Outbound:
        """The way to `target`. `relayed`: the provider speaks the call's dialect.

        Raises CallerError where there is none.
        """
        ...


class Duplex(Protocol):
    """An open WebSocket to a provider."""

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of its end; None while it is open."""
        ...

    @property
    def blocked(self) -> Awaitable[None] | None:
        """To be awaited before more is sent, where the provider does not keep up."""
        ...

    async def receive(self) -> str | bytes | None:
        """The next message, None once it has ended. What is not received stops the reading before long."""
        ...

    def send(self, text: bytes) -> None:
        """One text message, as UTF-8. Nothing is sent once it has ended."""
        ...

    def send_binary(self, data: bytes) -> None:
        """One binary message, likewise."""
        ...

    @property
    def subprotocol(self) -> str | None:
        """The one that was chosen of those that were offered."""
        ...

    def close(self) -> None:
        """In good order; safe to call again and after the end."""
        ...


class Connector(Protocol):
    """Opens sockets to providers."""

    async def connect(self, url: str, headers: Sequence[tuple[bytes, bytes]], timeouts: Patience) -> Duplex:
        """Raises UpstreamError and GateError."""
        ...
