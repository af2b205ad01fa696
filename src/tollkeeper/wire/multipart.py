"""Multipart forms (RFC 7578) as they stream by: learn a small field, change its value, touch nothing else.

Law: whoever parses the form after us must find the same value, or a caller could ask us for one model and the provider
for another. So what parsers read in different ways is refused, not guessed at.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\\]+)"|([^;\s"\\]+))\s*(?:;|$)', re.IGNORECASE)
_BOUNDARIES = re.compile(r"boundary\s*\*?=", re.IGNORECASE)
_DISPOSITION = re.compile(rb"content-disposition[ \t]*:", re.IGNORECASE)
_PARAMETER = re.compile(rb';[ \t]*([^\s;=]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')
_LONGEST_VALUE = 1024
_LONGEST_HEAD = 16 * 1024
_LONGEST_PADDING = 256


class BadForm(ValueError):
    """Why bytes are not the multipart form that their content type promises. `str()` is fit for the caller."""


def boundary_of(content_type: str) -> bytes:
    """The boundary parameter. Raises BadForm where there is none, or more than one."""
    match = _BOUNDARY.search(content_type)
    boundary = (match.group(1) or match.group(2)) if match else ""
    if not 1 <= len(boundary) <= 70 or not boundary.isascii() or len(_BOUNDARIES.findall(content_type)) > 1:
        raise BadForm("its content type has no usable boundary")
    return boundary.encode()


class FieldReader:
    """Watches a form go by and learns one short text field's value and where its bytes stand.

    Feed it chunks in order. `value` is None until the field's part has been read whole; `start` and `end` are then the
    value's offsets from the form's first byte. Feed on, and a second field of that name is refused.
    """

    def __init__(self, boundary: bytes, field: str) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._field = field.encode()
        self._buffer = bytearray(b"\r\n")
        self._offset = -2
        self._state = self._body
        self._wanted = False
        self.value: str | None = None
        self.start = 0
        self.end = 0
        self.finished = False

    def feed(self, chunk: bytes) -> None:
        """Raises BadForm where the bytes cannot be a form, or mean different things to different readers."""
        if self.finished:
            return
        self._buffer += chunk
        while self._state():
            pass

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _body(self) -> bool:
        buffer = self._buffer
        at = buffer.find(self._delimiter)
        if at < 0:
            if not self._wanted:
                self._drop(max(0, len(buffer) - len(self._delimiter)))
            elif len(buffer) > _LONGEST_VALUE + len(self._delimiter):
                raise BadForm(f"the field {self._field.decode()!r} is longer than {_LONGEST_VALUE} bytes")
            return False
        if self._wanted:
            self._learn(at)
        self._drop(at + len(self._delimiter))
        self._state = self._after_delimiter
        return True

    def _learn(self, end: int) -> None:
        if self.value is not None:
            raise BadForm(f"the field {self._field.decode()!r} occurs twice")
        if end > _LONGEST_VALUE:
            raise BadForm(f"the field {self._field.decode()!r} is longer than {_LONGEST_VALUE} bytes")
        try:
            self.value = bytes(self._buffer[:end]).decode()
        except UnicodeDecodeError:
            raise BadForm(f"the field {self._field.decode()!r} is not valid UTF-8") from None
        self.start, self.end = self._offset, self._offset + end

    def _after_delimiter(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"--"):
            self.finished = True
            return False
        line = bytes(buffer[:_LONGEST_PADDING])
        end = line.lstrip(b" \t")  # padding (RFC 2046, 5.1.1)
        if end in (b"", b"\r", b"-") and len(line) < _LONGEST_PADDING:
            return False
        if not end.startswith(b"\r\n"):
            raise BadForm("its boundary also occurs inside a part")
        self._drop(len(line) - len(end))
        self._state = self._head
        return True

    def _head(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise BadForm("a part's headers are too long, or not a form's")
            return False
        self._wanted = _names(bytes(self._buffer[:at]), self._field)
        self._drop(at + 4)
        self._state = self._body
        return True


def _names(head: bytes, field: bytes) -> bool:
    """Whether a part's headers say that it is the text field `field`."""
    if b"\r\n " in head or b"\r\n\t" in head:
        raise BadForm("a part's header is folded over two lines")
    lines = [line for line in head.split(b"\r\n") if _DISPOSITION.match(line)]
    if len(lines) > 1:
        raise BadForm("a part has two content-disposition headers")
    found = [(name.lower(), quoted or bare) for line in lines for name, quoted, bare in _PARAMETER.findall(line)]
    names = [value for name, value in found if name == b"name"]
    if len(names) > 1 or b"name*" in dict(found) or any(b"\\" in name for name in names):
        raise BadForm("a part's name can be read in more than one way")
    return names == [field] and not {b"filename", b"filename*"} & dict(found).keys()


class Part(NamedTuple):
    """One part of a whole form: where its content stands."""

    name: str
    filename: str | None
    start: int
    end: int


class Searchable(Protocol):
    """Bytes, in memory or elsewhere."""

    def find(self, wanted: bytes, start: int = ..., end: int = ..., /) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


def parts(form: Searchable, boundary: bytes) -> Iterator[Part]:
    """The parts of a form that is there whole. Raises BadForm where it is none."""
    delimiter = b"--" + boundary
    at = form.find(delimiter)
    if at < 0:
        raise BadForm("its boundary is nowhere in it")
    while True:
        at += len(delimiter)
        if form[at : at + 2] == b"--":
            return
        head_end = form.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
        end = form.find(b"\r\n" + delimiter, head_end)
        if head_end < 0 or end < 0:
            raise BadForm("it ends early")
        found: dict[str, str] = {}
        for line in form[at:head_end].split(b"\r\n"):
            if _DISPOSITION.match(line):
                for name, quoted, plain in _PARAMETER.findall(line):
                    found[name.decode("latin-1").lower()] = (quoted or plain).decode("utf-8", "replace")
        yield Part(found.get("name", ""), found.get("filename"), head_end + 4, end)
        at = end + 2
