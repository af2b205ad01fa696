"""What a plugin is. One file in plugins/, named as in the config: limit_count.py is limit-count. It has one `Plugin`.

    class LimitCount(Plugin):
        # says in a sentence what it is for, as a docstring

        priority = 1002
        schema = {"type": "object", "properties": {...}, "required": [...]}

        def access(self, exchange: Exchange) -> Response | None: ...

An object of the class is made for each place that configures it (a route, a service, a consumer, a global rule, …), with
`self.conf` (the configuration, defaults of the schema filled in, `$env://NAME` resolved, `_meta` taken away) and
`self.gate` (what it may use of the gate). It lives until that configuration changes, so counters are plain attributes.

Phases, in this order; within one, higher `priority` first. A plugin has those that it needs:

    rewrite(exchange)                 who is it, what is asked: authentication and changes of the request
    access(exchange)                  may it pass? limits, caches, answers of one's own
    header_filter(exchange)           exchange.response has its status and headers; the body is not sent yet
    body_filter(exchange, chunk, last) -> bytes     each piece of the body; b"" holds it back; `last` comes exactly once
    log(exchange)                     everything is over; nothing can be changed any more

`rewrite` and `access` may be plain functions or coroutines. They return None to go on, or a `Response`: then nothing more
of rewrite and access is run and the upstream is not asked, while header_filter, body_filter and log are run as for any
answer. `body_filter` is plain; a plugin that needs the whole body keeps the pieces and gives them back with the last. An
answer that has a body_filter goes out in chunks, without content-length, unless the plugin says `only_reads = True`, or
unless it is whole already. Its headers wait for the first piece that goes out: where the upstream breaks off before that,
the client gets the gate's 502, and header_filter and body_filter begin anew with it.

A plugin that answers in place of the upstream, but only after all that may still refuse the request, sets
`exchange.serve` instead of answering at once.

A plugin that knows who calls sets `exchange.consumer`, found by `self.gate.consumers(NAME)`; the consumer's own plugins,
and those of its group, join those of the route after the phase rewrite, and their rewrite phases are run then.

`kind = "auth"` marks plugins that may be configured for consumers: `consumer_schema` is what a consumer sets there, and
`consumer_key` the field by which a consumer is found. `metadata_schema` describes what plugin_metadata may hold, read by
`self.gate.metadata(NAME)`.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tollkeeper.core.ids import Clock
from tollkeeper.core.patterns import Patterns
from tollkeeper.core.ports import Handler, Keys, Outbound
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.room import Room

if TYPE_CHECKING:
    from tollkeeper.routes.consumers import Consumer
    from tollkeeper.routes.nodes import Node
    from tollkeeper.routes.upstreams import Upstream

Conf = Mapping[str, Any]
Outcome = Response | None | Awaitable[Response | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plugin may use of the gate around it."""

    room: Room
    patterns: Patterns
    """Compiles what will be compared with what strangers send."""
    now: Clock
    """Unix seconds."""
    monotonic: Clock
    random: Random
    home: Path
    """Where relative paths of files begin."""
    say: Callable[..., None]
    """Writes a line to the gate's log: `say(EVENT, field=value)`."""
    outbound: Outbound
    """Sends a request to any http:// or https:// URL that nodes may have."""
    keys: Keys
    """The keys of the model endpoints."""
    handle: Handler | None
    """Answers a `core.call.Call`: the model endpoints' own way."""
    consumers: Callable[[str], Mapping[str, "Consumer"]]
    """Of a plugin: its consumers by the value of its `consumer_key`. Ask anew each time: they change."""
    consumer: Callable[[str], "Consumer | None"]
    """The consumer of that name: `anonymous_consumer`."""
    metadata: Callable[[str], Mapping[str, Any]]
    """Of a plugin: what plugin_metadata says, or nothing."""
    upstream: Callable[[str | int | Conf], "Upstream | None"]
    """The upstream of that id (None where there is none), or the one that a configuration describes."""
    watch: Callable[["Upstream"], None]
    """Begins the active checks of an upstream, where they are not under way."""
    met: Callable[["Upstream", "Node", int | None], None]
    """A request was answered by a node with that status, or (None) nobody was there: its passive checks count it."""
    resolve: Callable[[str, int], Awaitable[Sequence[str]]]
    """The addresses of a host and port, all of which nodes may have. Raises UpstreamError."""
    shared: dict[object, Any]
    """What plugins of this gate have in common, each under a key of its own: a zone of a cache, a group's counters. What
    has a coroutine function `close` is closed when the gate stops."""
    resource: Callable[[str, str], Mapping[str, Any] | None]
    """(kind, id): a stored resource, such as ("protos", "1")."""


class Plugin:
    """What every plugin begins with."""

    name: ClassVar[str] = ""
    """As in the config; the registry sets it from the file's name."""
    priority: ClassVar[int] = 0
    version: ClassVar[float] = 0.1
    kind: ClassVar[Literal["auth"] | None] = None
    schema: ClassVar[Schema] = {"type": "object", "properties": {}}
    consumer_schema: ClassVar[Schema | None] = None
    consumer_key: ClassVar[str] = "key"
    metadata_schema: ClassVar[Schema | None] = None
    only_reads: ClassVar[bool] = False
    """Whether body_filter gives every piece back as it was."""

    owner: tuple[str, str] = ("", "")
    """Kind and id of the resource that configures this object; set before its first request."""

    def __init__(self, conf: Conf, gate: Surroundings) -> None:
        self.conf = conf
        self.gate = gate
        self.prepare()

    def prepare(self) -> None:
        """Run once when the object is made: compile what requests will need."""

    @classmethod
    def load(cls) -> None:
        """Imports what only configured plugins need and takes long; run on a thread before a configuration is checked."""

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        """Raises ValueError with what is wrong that no schema can say.

        `conf` has the schema's defaults filled in; `others` are this plugin's other configurations, as they were written.
        """

    @classmethod
    def check_consumer(cls, conf: Conf) -> None:
        """The same for what a consumer sets: raises ValueError. `conf` has the defaults of `consumer_schema`."""

    @classmethod
    def upstreams(cls, conf: Conf) -> Iterable[Conf]:
        """The upstreams that a configuration describes itself: their nodes are checked as any others."""
        return ()

    @classmethod
    def check_room(cls, conf: Conf, room: Room) -> None:
        """Raises ValueError where the gate has no room for it: a zone of a cache that is not configured."""

    def shown_key(self, key: bytes) -> tuple[bytes, bytes] | None:
        """The header by which a caller who has a key of the gate shows it to this plugin, if that is a way to pass it."""
        return None

    def rewrite(self, exchange: Exchange) -> Outcome:
        return None

    def access(self, exchange: Exchange) -> Outcome:
        return None

    def header_filter(self, exchange: Exchange) -> None:
        return None

    def body_filter(self, exchange: Exchange, chunk: bytes, last: bool) -> bytes:
        return chunk

    def log(self, exchange: Exchange) -> None:
        return None

    def close(self) -> None:
        """The configuration that this object was made for is gone: end what goes on behind it."""
