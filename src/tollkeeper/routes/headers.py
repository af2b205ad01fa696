"""The headers of a request or an answer, to be read and changed: names in lower case, in the order in which they came."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_NAME = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_LF, _CR, _NUL, _COLON = b"\n\r\0:"
_ENDS = dict.fromkeys(map(ord, "\r\n\0"))
_FOR_ONE_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


class Headers:
    """A list of (name, value); several may have one name. All of it is bytes."""

    __slots__ = ("_first", "_indexed", "_ours", "_size", "items")

    def __init__(self, items: list[tuple[bytes, bytes]] | None = None, first: dict[bytes, bytes] | None = None) -> None:
        """`first` has the first value of each name, where somebody has looked already; it is not changed here."""
        self.items: list[tuple[bytes, bytes]] = [] if items is None else items
        self._first = first
        self._indexed = self.items if first is not None else None
        self._ours = False
        """Whether `_first` is this object's own, to be changed."""
        self._size = len(self.items)
        """The list that `_first` was made of, and how long it was: with another one, or another length, it is made anew."""

    def get(self, name: bytes) -> bytes | None:
        """The first value."""
        if self._first is None or self._indexed is not self.items or self._size != len(self.items):
            return self._index().get(name)
        return self._first.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Every value."""
        if self.get(name) is None:
            return []
        return [value for each, value in self.items if each == name]

    def only(self, name: bytes) -> bytes | None:
        """The value, where there is exactly one."""
        value = self.get(name)
        if value is not None and len(self._first or ()) != len(self.items) and len(self.all(name)) > 1:
            return None
        return value

    def put(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """These in place of all that have their names, which are in lower case: nothing of a caller's is in any of them."""
        pairs = list(pairs)
        self.remove(*[name for name, _ in pairs])
        for name, value in pairs:
            self._append(name, value)

    def set(self, name: bytes, value: bytes) -> None:
        """This one value in place of all there are. Raises ValueError where it has a line break in it."""
        name = _checked(name, value)
        self.remove(name)
        self._append(name, value)

    def add(self, name: bytes, value: bytes) -> None:
        """One value more. Raises ValueError where it has a line break in it."""
        self._append(_checked(name, value), value)

    def remove(self, *names: bytes) -> None:
        """Takes away every value of these names, which are in lower case."""
        known = self._first
        if known is None or self._indexed is not self.items or self._size != len(self.items):
            known = self._index()
        if not known.keys().isdisjoint(names):
            self.items = [header for header in self.items if header[0] not in names]

    def disown(self, *names: bytes) -> None:
        """Takes away what a client says under these names, and under those that servers take for them (a_b for a-b)."""
        plain = [name.replace(b"_", b"-") for name in names]
        self.items = [header for header in self.items if header[0].replace(b"_", b"-") not in plain]

    def _append(self, name: bytes, value: bytes) -> None:
        known = self._first
        if known is not None and self._indexed is self.items and self._size == len(self.items):
            self._size += 1
            if name not in known:
                if not self._ours:
                    self._first = known = known.copy()
                    self._ours = True
                known[name] = value
        self.items.append((name, value))

    def _index(self) -> dict[bytes, bytes]:
        self._first = dict(reversed(self.items))
        self._ours = True
        self._indexed = self.items
        self._size = len(self.items)
        return self._first


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError where one is no header's name (RFC 9110, 5.1), or says how a connection is used, which we do."""
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _FOR_ONE_CONNECTION:
            raise ValueError(f"the header {name} is for one connection only and cannot be set")


def grouped(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a plugin's configuration says of headers, by add, set and remove; names alone are to be set."""
    named = changes.keys() <= {"add", "set", "remove"} and all(
        isinstance(each, (dict, list)) for each in changes.values()
    )
    return changes if named else {"set": changes}


def as_name(text: str) -> bytes:
    """The text as a header's name: what cannot stand there is a dash."""
    return _NOT_IN_NAME.sub("-", text).lower().encode()


def written(value: str) -> bytes:
    """A header's value in UTF-8, without what would end it: what a client sent may be in it."""
    return value.translate(_ENDS).encode("utf-8", "surrogateescape")


def text(value: bytes) -> str:
    """A header's value to be read and compared; `written` makes the same bytes of it, also where they are no UTF-8."""
    return value.decode("utf-8", "surrogateescape")


def spelt_otherwise(*names: bytes) -> Iterator[bytes]:
    """These names with underscores for some or all of their dashes."""
    for name in names:
        first, *rest = name.split(b"-")
        for marks in product((b"-", b"_"), repeat=len(rest)):
            if b"_" in marks:
                yield first + b"".join(mark + part for mark, part in zip(marks, rest, strict=True))


def _checked(name: bytes, value: bytes) -> bytes:
    # By numbers: looking for bytes in bytes, CPython tries a number first, and words the error that it throws away.
    if _LF in value or _CR in value or _NUL in value or _LF in name or _CR in name or _COLON in name:
        raise ValueError("a header has a line break in it")
    return name.lower()
