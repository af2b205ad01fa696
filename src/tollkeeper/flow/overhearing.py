"""Answers on their way to the client are overheard for what they say was made, so that it is known whose it is."""

from collections.abc import Awaitable, Callable, Sequence

from tollkeeper.core.call import Call, Reply, Sink
from tollkeeper.dialects.paths import RELAYED
from tollkeeper.flow import made_ids
from tollkeeper.flow.headers import value_of
from tollkeeper.flow.made_ids import Made
from tollkeeper.flow.named_ids import in_path
from tollkeeper.flow.origins import Bonds
from tollkeeper.flow.routing import Routing

_LOOKED_AT = 64 * 1024
"""Bytes of an answer in which its ids are looked for."""


class Overhearing:
    """One gate's."""

    def __init__(self, bonds: Bonds) -> None:
        self._bonds = bonds

    def __call__(self, routing: Routing, call: Call, reply: Reply, names: Sequence[str]) -> Reply:
        """The reply; what it says was made is remembered before the client hears of it. `names` are those of the call."""
        if not 200 <= reply.status < 300:
            return reply
        if call.method == "DELETE":
            self._forget(call)
        if not (call.method == "POST" or call.path.startswith("batches/")) or not _stored(call):
            return reply
        kind = value_of(reply.headers, b"content-type").lower()
        if b"json" not in kind and not kind.startswith(b"text/event-stream"):
            return reply
        account = value_of(reply.headers, b"x-tollkeeper-model").decode("latin-1").partition("/")[0]
        if not account and call.events:
            account = call.events[-1].provider
        if _translated(routing, call, account):
            return reply
        if reply.pour is None:
            self._bonds.remember(call, made_ids.of_answer(reply.body), account, names)
        else:
            reply.pour = self._overheard(call, reply.pour, account, names, whole=b"json" in kind)
        return reply

    def _forget(self, call: Call) -> None:
        """Only what is deleted itself, not what is taken out of something."""
        about = in_path(call.path)
        if len(about) == 1 and call.path.endswith(about[0]):
            self._bonds.forget(about[0])

    def _overheard(
        self, call: Call, pour: Callable[[Sink], Awaitable[None]], account: str, names: Sequence[str], whole: bool
    ) -> Callable[[Sink], Awaitable[None]]:
        async def poured(sink: Sink) -> None:
            ear = _Ear(
                sink,
                made_ids.of_answer if whole else made_ids.of_events,
                lambda made: self._bonds.remember(call, made, account, names),
            )
            await pour(ear)
            if whole and not ear.told:
                self._bonds.remember(call, made_ids.of_beginning(ear.heard), account, names)

        return poured


class _Ear:
    """A sink before the sink. `found` is told, once, what `read` makes of what was written so far."""

    __slots__ = ("_found", "_read", "_sink", "heard", "told")

    def __init__(self, sink: Sink, read: Callable[[bytes], Made], found: Callable[[Made], None]) -> None:
        self._sink = sink
        self._read = read
        self._found = found
        self.heard = bytearray()
        self.told = False

    def write(self, data: bytes) -> None:
        if not self.told and len(self.heard) < _LOOKED_AT:
            self.heard += data
            made = self._read(bytes(self.heard))
            if made:
                self._found(made)
                self.told = True
        self._sink.write(data)

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked


def _translated(routing: Routing, call: Call, account: str) -> bool:
    """Whether the answer was made here out of one that its provider does not keep."""
    found = routing.accounts.get(account)
    return found is not None and call.dialect.name in RELAYED and call.dialect.name not in found.provider.speaks


def _stored(call: Call) -> bool:
    """Whether the provider keeps what it makes of it: a response unless told not to, a chat completion if told to."""
    stored = call.members.get("store")
    if stored is None:
        return not call.dialect.needs_model
    return bytes(stored) == b"true" if call.dialect.needs_model else bytes(stored) != b"false"
