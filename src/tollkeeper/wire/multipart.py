"""Multipart forms (RFC 7578) as they stream by: learn a small field, change its value, touch nothing else."""

import re

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_NAME = re.compile(rb'(?<![a-z*])name="([^"]*)"', re.IGNORECASE)
_LONGEST_VALUE = 1024
_LONGEST_HEAD = 16 * 1024


class BadForm(ValueError):
    """Why bytes are not the multipart form that their content type promises. `str()` is fit for the caller."""


def boundary_of(content_type: str) -> bytes:
    """The boundary parameter. Raises BadForm where there is none."""
    match = _BOUNDARY.search(content_type)
    boundary = (match.group(1) or match.group(2)) if match else ""
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise BadForm("its content type has no usable boundary")
    return boundary.encode()


class FieldReader:
    """Watches a form go by and learns one short text field's value and where its bytes stand.

    Feed it chunks in order. `value` is None until the field's part has been read whole; `start` and `end` are then the
    value's offsets from the form's first byte.
    """

    def __init__(self, boundary: bytes, field: str) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._field = field.encode()
        self._buffer = bytearray(b"\r\n")
        self._offset = -2
        self._state = "body"
        self._wanted = False
        self.value: str | None = None
        self.start = 0
        self.end = 0
        self.finished = False

    def feed(self, chunk: bytes) -> None:
        """Raises BadForm where the bytes cannot be a form."""
        if self.value is not None or self.finished:
            return
        self._buffer += chunk
        while self._step():
            pass

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _step(self) -> bool:
        buffer = self._buffer
        if self._state == "body":
            at = buffer.find(self._delimiter)
            if at < 0:
                if self._wanted and len(buffer) > _LONGEST_VALUE + len(self._delimiter):
                    raise BadForm(f"the field {self._field.decode()!r} is longer than {_LONGEST_VALUE} bytes")
                if not self._wanted and len(buffer) > len(self._delimiter):
                    self._drop(len(buffer) - len(self._delimiter))
                return False
            if self._wanted:
                self.start, self.end = self._offset, self._offset + at
                try:
                    self.value = bytes(buffer[:at]).decode()
                except UnicodeDecodeError:
                    raise BadForm(f"the field {self._field.decode()!r} is not valid UTF-8") from None
                return False
            self._drop(at + len(self._delimiter))
            self._state = "delimiter"
        if self._state == "delimiter":
            if len(buffer) < 2:
                return False
            if buffer.startswith(b"--"):
                self.finished = True
                return False
            self._state = "head"
        at = buffer.find(b"\r\n\r\n")
        if at < 0:
            if len(buffer) > _LONGEST_HEAD:
                raise BadForm("a part's headers are too long, or not a form's")
            return False
        name = _NAME.search(buffer, 0, at)
        filename = buffer.find(b"filename", 0, at) >= 0
        self._wanted = name is not None and name.group(1) == self._field and not filename
        self._drop(at + 4)
        self._state = "body"
        return True
