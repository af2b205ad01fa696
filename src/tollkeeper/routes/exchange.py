"""An ordinary HTTP request on its way through the gate, and the answer on its way back: the nouns that plugins change.

Time in an exchange is monotonic seconds. Text of headers and paths is bytes where it goes out as it is, str where it is
compared.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tollkeeper.core.call import Presence
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.remembered import Remembered
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.room import Room
from tollkeeper.wire import counted
from tollkeeper.wire.counted import TooMany

if TYPE_CHECKING:
    from tollkeeper.routes.consumers import Consumer
    from tollkeeper.routes.table import Route
    from tollkeeper.routes.upstreams import Upstream


_DEFAULT = Room()


class Stream(Protocol):
    """The body of an answer that is still coming in. `core.ports.Sent` is one."""

    async def next_chunk(self, timeout: float | None = None) -> bytes | None:
        """The next piece; None at the end. Raises UpstreamError where it breaks off."""
        ...

    def close(self) -> None:
        """Nobody wants the rest."""
        ...


class Request:
    """What the client asks; what is changed here is what the upstream gets."""

    __slots__ = (
        "_chunks",
        "_room",
        "_whole",
        "body_begun",
        "came",
        "client",
        "client_port",
        "headers",
        "length",
        "method",
        "path",
        "query",
        "scheme",
        "server",
    )

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        client: tuple[str, int],
        server: tuple[str, int],
        scheme: str = "http",
        body: bytes | AsyncIterable[bytes] = b"",
        length: int | None = None,
        room: Room | None = None,
    ) -> None:
        self.method: str = method
        self.path: str = path
        """Percent-decoded and without dot segments; an encoded slash stays %2F. Starts with a slash."""
        self.query: str = query
        """As it was sent, without the question mark; bytes beyond ASCII are percent-encoded."""
        self.headers: Headers = headers
        self.client: str = client[0]
        self.client_port: int = client[1]
        self.server: tuple[str, int] = server
        self.scheme: str = scheme
        self.came: tuple[str, str] = (path, query)
        """The path and query as they came, whatever is changed later."""
        self.length = length
        """Bytes of a body that streams, where the client said how many."""
        self.body_begun = False
        """Whether some of a streaming body has been taken: then it cannot be sent a second time."""
        self._room = _DEFAULT if room is None else room
        self._whole: bytes | None = body if isinstance(body, bytes) else None
        self._chunks: AsyncIterable[bytes] | None = None if isinstance(body, bytes) else body

    @property
    def arrived(self) -> str:
        """What came, to be read and compared: a decoded path may have a question mark of its own in it."""
        path, query = self.came
        return path + ("?" + query if query else "")

    @property
    def host(self) -> str:
        """The Host header without its port, in lower case."""
        return host_without_port(self.headers.get(b"host") or b"")

    @property
    def body(self) -> bytes | AsyncIterator[bytes]:
        """Whole where it was read or set, else as it comes in."""
        if self._whole is not None:
            return self._whole
        return self._streamed()

    @body.setter
    def body(self, body: bytes) -> None:
        self._whole = body
        self._chunks = None

    @property
    def whole(self) -> bytes | None:
        """The body where it is here already."""
        return self._whole

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, kept for whoever reads it next. Raises CallerError (413) beyond `limit` bytes, and ClientLeft."""
        most = self._room.read_body if limit is None else min(limit, self._room.read_body)
        if self._whole is None:
            assert self._chunks is not None
            parts, size = [], 0
            async for chunk in self._streamed():
                size += len(chunk)
                if size > most:
                    raise CallerError(f"The request body exceeds {most} bytes.", status=413, code="request_too_large")
                parts.append(chunk)
            self._whole, self._chunks = b"".join(parts), None
        elif len(self._whole) > most:
            raise CallerError(f"The request body exceeds {most} bytes.", status=413, code="request_too_large")
        return self._whole

    def json(self, body: bytes) -> Any:
        """The value that a body says which was read. Raises BadJson, and CallerError (413) beyond `read_values`."""
        try:
            return counted.json_value(body, self._room.read_values)
        except TooMany as error:
            raise _too_large(error) from None

    def form(self, body: bytes) -> list[tuple[str, str]]:
        """The fields of a form that was read. Raises CallerError (413) beyond `read_fields`."""
        try:
            return counted.form_fields(body.decode("utf-8", "replace"), self._room.read_fields)
        except TooMany as error:
            raise _too_large(error) from None

    async def _streamed(self) -> AsyncIterator[bytes]:
        assert self._chunks is not None
        async for chunk in self._chunks:
            self.body_begun = True
            yield chunk


class Response:
    """What the client gets: from the upstream, or from a plugin that answers itself."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: "bytes | Stream" = b"", headers: Headers | None = None) -> None:
        self.status: int = status
        self.headers: Headers = Headers() if headers is None else headers
        self.body = body

    @classmethod
    def json(cls, status: int, value: object, *headers: tuple[bytes, bytes]) -> "Response":
        """An answer with a JSON body, which ends with a line feed."""
        body = value if isinstance(value, bytes) else msgspec.json.encode(value) + b"\n"
        return cls(status, body, Headers([(b"content-type", b"application/json"), *headers]))


@dataclass(slots=True)
class Exchange:
    """One request and its answer, and what was found out in between."""

    request: Request
    request_id: str
    started: float
    presence: Presence = field(default_factory=Presence)
    route: "Route | None" = None
    """None only for global rules where no route was found."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What stood at the route's `:name`s."""
    consumer: "Consumer | None" = None
    """Set by a plugin that authenticates."""
    gate_key: bytes | None = None
    """The key of the model endpoints that it was let in by: whoever has it can spend money, so no upstream is shown it."""
    key: Key | None = None
    """The same: whom calls of models are charged to."""
    secret_names: frozenset[str] = frozenset()
    """Headers, in lower case, and arguments by which callers of this route show who they are: no log has their values."""
    upstream: "Upstream | None" = None
    """Set by a plugin in place of the route's own."""
    serve: "Callable[[Exchange], Awaitable[Response]] | None" = None
    """Set by a plugin that answers in place of any upstream, once rewrite and access are through."""
    host: bytes | None = None
    """Set by a plugin in place of the Host that would go upstream."""
    own_upstream: "Upstream | None" = None
    """The route's, or its service's; asked unless `upstream` says otherwise."""
    response: Response | None = None
    answered_by: str | None = None
    """The plugin that answered; None where the upstream did, or the gate itself."""
    own: bool = False
    """Whether the gate's own endpoints answered."""
    node: str | None = None
    """host:port of the last node that was tried."""
    tries: int = 0
    upstream_seconds: float | None = None
    """From sending to the head of the answer."""
    upstream_status: int | None = None
    """Of the upstream's last answer, whatever plugins make of it."""
    clocks: "tuple[Clock, Clock] | None" = None
    """Unix seconds and monotonic seconds, for variables that tell the time; set by the pipeline."""
    sent_bytes: int = 0
    """Of the answer's body, as far as it went out."""
    error: BaseException | None = None
    """What broke the answer off."""
    notes: dict[object, Any] = field(default_factory=dict)
    """What a plugin keeps between its phases, under a key of its own (such as itself)."""

    def var(self, name: str) -> str | None:
        """A variable such as remote_addr, arg_page or http_user_agent; see routes/variables.py."""
        return variable(self, name)


def _too_large(error: TooMany) -> CallerError:
    return CallerError(f"The request body cannot be read: {error}.", status=413, code="request_too_large")


def _host_without_port(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


host_without_port = Remembered(_host_without_port).__getitem__
"""The name or address of a Host header, in lower case."""


from tollkeeper.routes.variables import variable  # noqa: E402 - variables are read of exchanges, and exchanges offer them
