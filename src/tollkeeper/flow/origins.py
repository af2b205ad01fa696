"""What a provider keeps for a caller (responses, conversations, files, batches, …) is asked for where it was made.

Only where there are several accounts: then the ids of what answers say was made are remembered, and a call that names one
of them goes to the account that made it, and nowhere else.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeGuard

import msgspec
from msgspec import Struct

from tollkeeper.core.call import Call, Reply, Sink
from tollkeeper.core.ports import Origins
from tollkeeper.flow.headers import value_of
from tollkeeper.wire import sse

_NAMING = ("previous_response_id", "conversation", "input_file_id")
_LONGEST_ID = 256
_BATCH = "message_batch"
"""What Anthropic calls a batch; its other answers are kept nowhere."""
_LOOKED_AT = 64 * 1024
"""Bytes of an answer in which its ids are looked for."""
_FILE = b'"file_id"'
"""As a member's name. Inside of a string it would read `\\"file_id\\"`, so no text of a prompt is taken for it."""
_FILES = re.compile(_FILE + rb'\s*:\s*"([^"\\]+)"')
_BEGUN = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]+)"\s*,\s*"object"\s*:\s*"(?!list")')
"""How an answer begins that says what was made: enough of one that is too long to be kept, as with pictures in it."""


class _Kept(Struct):
    id: object = None
    kind: object = msgspec.field(default=None, name="object")
    type: object = None
    conversation: object = None
    output_file_id: object = None
    error_file_id: object = None


class _Event(Struct):
    response: _Kept | None = None


class _Params(Struct):
    model: str | None = None


class _Part(Struct):
    params: _Params | None = None


_decode = msgspec.json.Decoder(_Kept).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_any = msgspec.json.Decoder().decode


class Bonds:
    """Which account a call is bound to, and what its answer binds."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def account_of(self, call: Call) -> tuple[str, str] | None:
        """The id that binds the call, and the account's name; None where none of its ids is known. Raises GateError."""
        if call.provider is not None:
            return None
        for name in ids_of_request(call):
            account = self._origins.find(name)
            if account is not None:
                return name, account
        return None

    def overhear(self, call: Call, reply: Reply) -> Reply:
        """The reply; what it says was made will be remembered."""
        if not 200 <= reply.status < 300 or not (call.method == "POST" or call.path.startswith("batches/")):
            return reply
        stored = call.members.get("store")
        if stored is not None and bytes(stored) == b"false":
            return reply
        kind = value_of(reply.headers, b"content-type").lower()
        if b"json" not in kind and not kind.startswith(b"text/event-stream"):
            return reply
        account = value_of(reply.headers, b"x-tollkeeper-model").decode("latin-1").partition("/")[0]
        if reply.pour is None:
            self._origins.remember(ids_of_answer(reply.body), account)
        else:
            reply.pour = self._overheard(reply.pour, account, whole=b"json" in kind)
        return reply

    def _overheard(
        self, pour: Callable[[Sink], Awaitable[None]], account: str, whole: bool
    ) -> Callable[[Sink], Awaitable[None]]:
        async def poured(sink: Sink) -> None:
            ear = _Ear(sink, None if whole else lambda ids: self._origins.remember(ids, account))
            await pour(ear)
            if whole:
                self._origins.remember(ids_of_answer(bytes(ear.heard)) or _ids_begun(ear.heard), account)

        return poured


class _Ear:
    """A sink before the sink. With `found` it is told of the ids of the first event that has any."""

    __slots__ = ("_found", "_sink", "heard")

    def __init__(self, sink: Sink, found: Callable[[list[str]], None] | None) -> None:
        self._sink = sink
        self._found = found
        self.heard = bytearray()

    def write(self, data: bytes) -> None:
        if len(self.heard) < _LOOKED_AT:
            self.heard += data
            if self._found is not None:
                ids = ids_of_events(bytes(self.heard))
                if ids:
                    self._found(ids)
                    self.heard = bytearray(_LOOKED_AT)
        self._sink.write(data)

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked


def ids_of_request(call: Call) -> Iterator[str]:
    """What a call's body and path name that a provider may keep."""
    for name in _NAMING:
        member = call.members.get(name)
        if member is not None:
            found = _decode_any(member)
            if isinstance(found, dict):
                found = found.get("id")
            if _is_id(found):
                yield found
    yield from (part for part in call.path.split("/")[1:] if _is_id(part))
    if isinstance(call.body, bytes) and _FILE in call.body:
        files = (name.decode("latin-1") for name in _FILES.findall(call.body))
        yield from (name for name in files if _is_id(name))


def names_a_file(call: Call) -> bool:
    """Whether a JSON body has a member `file_id`, at whatever depth: a part of a message that is a file at the provider."""
    return isinstance(call.body, bytes) and _FILE in call.body


def models_of_batch(call: Call) -> set[str]:
    """The models that a batch names whose requests stand in its body, as Anthropic's do; none where it is no such batch."""
    member = call.members.get("requests")
    if member is None:
        return set()
    try:
        parts = _decode_parts(member)
    except (msgspec.DecodeError, RecursionError):
        return set()  # what is no batch its provider will say
    return {part.params.model for part in parts if part.params is not None and part.params.model}


def ids_of_answer(body: bytes) -> list[str]:
    """Ids of what a JSON answer says was made; none where it is no such object."""
    try:
        return _ids(_decode(body))
    except (msgspec.DecodeError, RecursionError):
        return []


def _ids_begun(data: bytes | bytearray) -> list[str]:
    begun = _BEGUN.match(data)
    name = begun[1].decode("latin-1") if begun is not None else None
    return [name] if _is_id(name) else []


def ids_of_events(data: bytes) -> list[str]:
    """Ids in the first whole event of a stream that has any."""
    for event in sse.EventScanner().feed(data):
        text = sse.data_of(event)
        if text is None or not text.startswith(b"{"):
            continue
        try:
            response = _decode_event(text).response
        except (msgspec.DecodeError, RecursionError):
            continue
        if response is not None:
            return _ids(response)
    return []


def _ids(kept: _Kept) -> list[str]:
    if (not isinstance(kept.kind, str) or kept.kind == "list") and kept.type != _BATCH:
        return []
    conversation = kept.conversation.get("id") if isinstance(kept.conversation, dict) else kept.conversation
    found = (kept.id, conversation, kept.output_file_id, kept.error_file_id)
    return [name for name in found if _is_id(name)]


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isascii() and value.isprintable()
