"""Which ids an answer says were made at a provider; pure."""

import re

import msgspec
from msgspec import Struct

from tollkeeper.flow.named_ids import is_id
from tollkeeper.wire import sse

_MESSAGES = frozenset(("message_batch", "file"))
"""What Anthropic calls what it keeps; its other answers are kept nowhere."""
_BEGUN = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]+)"\s*,\s*"object"\s*:\s*"(?!list")')
"""How an answer begins that says what was made: enough of one that is too long to be kept, as with pictures in it."""


class Made(Struct, frozen=True):
    """What one answer says."""

    id: str | None = None
    """Of what it is about."""
    others: tuple[str, ...] = ()
    """What belongs to that: its conversation, its files."""

    def __bool__(self) -> bool:
        return self.id is not None or bool(self.others)


NOTHING = Made()


class _Kept(Struct):
    id: object = None
    kind: object = msgspec.field(default=None, name="object")
    type: object = None
    conversation: object = None
    file: object = None
    output_file_id: object = None
    error_file_id: object = None


class _Event(_Kept):
    response: _Kept | None = None


_decode = msgspec.json.Decoder(_Kept).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def of_answer(body: bytes) -> Made:
    """Of a JSON answer; nothing where it is no such object."""
    try:
        return _made(_decode(body))
    except (msgspec.DecodeError, RecursionError):
        return NOTHING


def of_beginning(data: bytes | bytearray) -> Made:
    """Of a JSON answer, or of one of which this is the beginning."""
    whole = of_answer(bytes(data))
    if whole:
        return whole
    begun = _BEGUN.match(data)
    name = begun[1].decode("latin-1") if begun is not None else None
    return Made(name) if is_id(name) else NOTHING


def of_events(data: bytes) -> Made:
    """Of the first whole event of a stream that says it."""
    for event in sse.EventScanner().feed(data):
        text = sse.data_of(event)
        if text is None or not text.startswith(b"{"):
            continue
        try:
            said = _decode_event(text)
        except (msgspec.DecodeError, RecursionError):
            continue
        made = _made(said if said.response is None else said.response)
        if made:
            return made
    return NOTHING


def _made(kept: _Kept) -> Made:
    if (not isinstance(kept.kind, str) or kept.kind == "list") and kept.type not in _MESSAGES:
        return NOTHING
    inner = [value.get("id") if isinstance(value, dict) else value for value in (kept.conversation, kept.file)]
    others = tuple(name for name in (*inner, kept.output_file_id, kept.error_file_id) if is_id(name))
    return Made(kept.id if is_id(kept.id) else None, others)
