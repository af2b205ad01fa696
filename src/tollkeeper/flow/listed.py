"""A page of a list as a provider gives it: what is on it, the same without some of it, and what the next one is; pure.

Lists are of two forms: an object with arrays in it (OpenAI's and Anthropic's have `data`, `has_more`, `first_id` and
`last_id`), or an array.
"""

from collections.abc import Container
from urllib.parse import parse_qs, parse_qsl, urlencode

import msgspec
from msgspec import Raw, Struct

from tollkeeper.flow.named_ids import is_id

_MADE_ELSEWHERE = ("_output", "-results")
"""How the purpose of a file ends that a provider made itself, out of somebody's batch or training."""
_LIMIT = 100
"""Things on a page: as many as all of these lists give."""


class Item(Struct):
    """One thing on a page."""

    id: str | None = None
    purpose: object = None

    @property
    def nobodys(self) -> bool:
        """Whether it was made for somebody, but by nobody's call."""
        return isinstance(self.purpose, str) and self.purpose.endswith(_MADE_ELSEWHERE)


_decode = msgspec.json.Decoder(dict[str, Raw] | list[Raw] | str | int | float | bool | None).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_item = msgspec.json.Decoder(Item).decode
_encode = msgspec.json.Encoder().encode


class Listed:
    """One page. Raises ValueError where it is not JSON."""

    def __init__(self, body: bytes) -> None:
        found = _decode(body)
        self._members: dict[str, Raw] = found if isinstance(found, dict) else {}
        self._is_array = isinstance(found, list)
        self._arrays = {
            name: [(_item(one), one) for one in _decode_list(value)]
            for name, value in (self._members if not isinstance(found, list) else {"": Raw(body)}).items()
            if bytes(memoryview(value)[:1]) == b"["
        }
        self.body = body

    @property
    def items(self) -> dict[str, tuple[Item, Raw]]:
        """By their ids."""
        return {item.id: (item, raw) for array in self._arrays.values() for item, raw in array if item.id is not None}

    @property
    def more(self) -> bool:
        return bytes(self._members.get("has_more", b"")) == b"true"

    def all_among(self, gone: Container[object]) -> bool:
        """Whether there is something in `data`, and all of it is among `gone`."""
        data = self._arrays.get("data")
        return bool(data) and all(item.id in gone for item, _ in data or ())

    def without(self, gone: Container[object], limit: int | None = None) -> bytes:
        """The page without what has one of these ids, and with no more than `limit` in `data`."""
        left = {
            name: [(item, raw) for item, raw in array if item.id not in gone] for name, array in self._arrays.items()
        }
        if self._is_array:
            return _encode([raw for _, raw in left[""]])
        members: dict[str, object] = dict(self._members)
        data = left.get("data", [])
        if limit is not None and len(data) > limit:
            left["data"] = data = data[:limit]
            members["has_more"] = True
        members |= {name: [raw for _, raw in array] for name, array in left.items()}
        for name, at in (("first_id", 0), ("last_id", -1)):
            if name in members:
                members[name] = data[at][0].id if data else None
        return _encode(members)

    def next_query(self, query: bytes, cursors: tuple[str, str]) -> bytes | None:
        """What asks for the page that follows; None where it cannot be asked. `cursors`: the names of (after, before)."""
        given = parse_qs(query.decode("latin-1"))
        after, before = cursors
        backwards = before in given and after not in given
        item = self._arrays["data"][0 if backwards else -1][0]
        if not is_id(item.id):
            return None
        own = {after, before}
        limit = given.get("limit", [""])[0]
        more = {before if backwards else after: item.id}
        if limit.isdecimal() and not backwards:
            own.add("limit")
            more["limit"] = str(max(int(limit), _LIMIT))
        kept = [(name, value) for name, value in parse_qsl(query.decode("latin-1")) if name not in own]
        return urlencode([*kept, *more.items()]).encode()


def _item(raw: Raw) -> Item:
    try:
        return _decode_item(raw)
    except msgspec.ValidationError:
        return Item()  # no object with an id
