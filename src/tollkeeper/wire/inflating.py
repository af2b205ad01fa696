"""Gzip and zlib read piece by piece, within a bound: sixty kilobytes may stand for sixty megabytes."""

import zlib

_ANY = zlib.MAX_WBITS | 32
"""Gzip or zlib, whichever it begins as."""
_GZIP = zlib.MAX_WBITS | 16
_BEGINS = b"\x1f\x8b"
_PIECE = 16 * 1024
"""Bytes that are looked at in one go: zlib copies what comes after a member's end, once for each member."""
_MOST_MEMBERS = 1000
"""A text may be thousands of members of twenty bytes each, and nothing in them."""


class TooLong(ValueError):
    """It comes to more than may be held."""


class Inflating:
    """A text that comes in compressed. What stands behind its end and is no further member is left out, as browsers do."""

    def __init__(self, most: int) -> None:
        """`most`: bytes that `data` may come to."""
        self.data = bytearray()
        """What it says so far."""
        self._most = most
        self._member = zlib.decompressobj(_ANY)
        self._members = 1
        self._between = b""
        self._begun = self._over = False

    @property
    def complete(self) -> bool:
        """Whether it may end here."""
        return self._member.eof or not self._begun

    def add(self, chunk: bytes) -> None:
        """Raises TooLong, and ValueError where it is no such text."""
        self._begun = self._begun or bool(chunk)
        for start in range(0, len(chunk), _PIECE):
            if self._over:
                return
            self._add(chunk[start : start + _PIECE])

    def _add(self, piece: bytes) -> None:
        while piece:
            if self._member.eof:
                piece = self._between + piece
                if len(piece) < len(_BEGINS):
                    self._between = piece
                    return
                if not piece.startswith(_BEGINS):
                    self._over = True
                    return
                self._next_member()
            try:
                self.data += self._member.decompress(piece, self._most + 1 - len(self.data))
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if len(self.data) > self._most:
                raise TooLong(f"it comes to more than {self._most} bytes")
            piece = self._member.unused_data

    def _next_member(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise TooLong(f"it has more than {_MOST_MEMBERS} members")
        self._between = b""
        self._member = zlib.decompressobj(_GZIP)
