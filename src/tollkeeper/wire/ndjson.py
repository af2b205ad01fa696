"""Newline-delimited JSON: raw bytes in, whole lines out, cut anywhere (https://github.com/ndjson/ndjson-spec)."""


class LineScanner:
    """Groups a stream's bytes into lines, each with its line feed. Same shape as `wire.sse.EventScanner`."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, in order. Blank lines are left out."""
        pending = self._pending
        if not pending and chunk.find(b"\n") == len(chunk) - 1:
            return [chunk] if chunk.strip() else []
        pending += chunk
        end = pending.rfind(b"\n") + 1
        if not end:
            return []
        lines = bytes(pending[:end]).splitlines(keepends=True)
        del pending[:end]
        return [line for line in lines if line.strip()]

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
