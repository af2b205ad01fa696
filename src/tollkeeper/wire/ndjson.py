"""Newline-delimited JSON: raw bytes in, whole raw lines out, cut anywhere (https://github.com/ndjson/ndjson-spec).

Bytes are never changed, only grouped: what comes out, joined, is what went in. Lines end at LF and nowhere else.
"""

MEDIA_TYPE = b"application/x-ndjson"


class LineScanner:
    """Groups a stream's bytes into lines, as `wire.sse.EventScanner` does into events."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, each with its LF, in order."""
        pending = self._pending
        if not pending and chunk.find(b"\n") == len(chunk) - 1:
            return [chunk] if chunk else []
        last = chunk.rfind(b"\n") + 1
        if not last:
            pending += chunk
            return []
        whole = bytes(pending) + chunk[:last]
        self._pending = bytearray(chunk[last:])
        return [line + b"\n" for line in whole[:-1].split(b"\n")]

    @property
    def pending(self) -> int:
        """Bytes of the unfinished line."""
        return len(self._pending)

    def unfinished(self, start: int) -> bytes:
        """The unfinished line's bytes from `start` on; they stay."""
        return bytes(self._pending[start:])

    def take(self) -> bytes:
        """The unfinished line's bytes; the scanner forgets them."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest
