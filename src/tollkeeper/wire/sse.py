"""Server-sent events: raw bytes in, whole raw events out, cut anywhere.

Rule 1: bytes are never changed, only grouped. What comes out, joined, is what went in, and how it was cut on its way
        does not show: a CR that could be half of a CR LF waits for the byte after it.
Rule 2: lines end at CR LF, LF or CR and nowhere else: U+2028, U+0085 and the like occur inside JSON
        (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
"""

import re

MEDIA_TYPE = b"text/event-stream"
KEEP_ALIVE = b": ping\n"
"""One line feed: a blank line after a comment breaks openai-python once an `id:` was sent (openai-python#2722)."""
_BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR = 13
"""A number: CPython 3.11 looks for it in bytes seven times as fast as for bytes, which it first takes for a number."""


class EventScanner:
    """Groups a stream's bytes into events, holding the bytes of the one that is not whole yet."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, each with its blank line, in order."""
        pending = self._pending
        if not pending and chunk.endswith(b"\n\n") and _CR not in chunk:
            if chunk.find(b"\n\n") == len(chunk) - 2:
                return [chunk]
            whole = chunk.split(b"\n\n")
            if not whole.pop():  # else a line end of its own comes after the last
                return [event + b"\n\n" for event in whole]
        searched = max(0, len(pending) - 3)
        pending += chunk
        events = []
        start = 0
        for match in _BOUNDARY.finditer(pending, searched):
            end = match.end()
            if end == len(pending) and pending[-1] == _CR:
                break
            events.append(bytes(pending[start:end]))
            start = end
        if start:
            del pending[:start]
        return events

    @property
    def pending(self) -> int:
        """Bytes of the unfinished event."""
        return len(self._pending)

    def unfinished(self, start: int) -> bytes:
        """The unfinished event's bytes from `start` on; they stay."""
        return bytes(self._pending[start:])

    def take(self) -> bytes:
        """The unfinished event's bytes; the scanner forgets them."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined by LF; None if it has none (a comment, a lone field)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and _CR not in event:
        return event[6:-2]
    if event.startswith(b"event: ") and _CR not in event:
        at = event.find(b"\ndata: ")
        if event.find(b"\n") == at and event.find(b"\n", at + 1) == len(event) - 2:
            return event[at + 7 : -2]
    lines = [line for line in _LINE_END.split(event) if line.startswith(b"data")]
    values = []
    for line in lines:
        if line == b"data":
            values.append(b"")
        elif line.startswith(b"data: "):
            values.append(line[6:])
        elif line.startswith(b"data:"):
            values.append(line[5:])
    return b"\n".join(values) if values else None


def is_comment(event: bytes) -> bool:
    """Whether nothing but comments and blank lines is in it."""
    return all(line.startswith(b":") for line in _LINE_END.split(event) if line)
