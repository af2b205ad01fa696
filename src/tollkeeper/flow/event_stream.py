"""A stream's chunks become what the client gets: whole events at once, overheard by the dialect's reader.

An event that is not whole yet waits for its end, so that a cut inside it leaves the client with whole events and a
clear error. Past `HOLD` bytes its beginning is forwarded at once: an image of megabytes must not pile up here twice.
"""

from tollkeeper.core.ports import EventReader
from tollkeeper.wire import sse
from tollkeeper.wire.ndjson import LineScanner
from tollkeeper.wire.sse import EventScanner

HOLD = 64 * 1024


class EventStream:
    """One stream's state.

    `may_change`: the reader may alter or drop events, so none is forwarded before it was read. `translated`: what it gives
    is of another dialect, so none is forwarded unread, however long it is.
    """

    def __init__(
        self,
        reader: EventReader,
        scanner: EventScanner | LineScanner,
        *,
        may_change: bool,
        longest: int,
        translated: bool = False,
    ) -> None:
        self.reader = reader
        self._scanner = scanner
        self._may_change = may_change
        self._translated = translated
        self._longest = longest
        self._early = 0
        self._unread = False
        self._torn = False
        self.seen = 0
        """Events with data so far."""
        self.garbled = False

    def begun(self) -> bool:
        """Whether a first event with data has passed."""
        return self.seen > 0

    @property
    def at_boundary(self) -> bool:
        """Whether what was forwarded so far ends between two events."""
        return self._early == 0 and not self._unread and not self._torn

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets for these bytes. Sets `garbled` and stops before the first event that is not one."""
        if self._unread:
            return chunk
        events = self._scanner.feed(chunk)
        out = self._read(events[0]) if len(events) == 1 else b"".join([self._read(event) for event in events])
        pending = self._scanner.pending
        if pending > HOLD and not self.garbled:
            out += self._forward_early(pending)
        return out

    def _read(self, event: bytes) -> bytes:
        if self.garbled:
            return b""
        try:
            out = self.reader.read(event)
        except ValueError:
            self.garbled = True
            return b""
        if not event.startswith(b":") or not sse.is_comment(event):
            self.seen += 1
        if self._early:
            out, self._early = event[self._early :], 0
        return out

    def _forward_early(self, pending: int) -> bytes:
        if pending > self._longest and self._translated:
            self.garbled = True
            return b""
        if pending > self._longest:
            self._unread = True
            rest = self._scanner.unfinished(self._early)
            self._scanner.take()
            return rest
        if self._may_change or self._translated:
            return b""
        begun = self._scanner.unfinished(self._early)
        self._early = pending
        return begun

    def end(self) -> bytes:
        """The rest, at a proper end of bytes: a last event may lack its blank line."""
        rest = self._scanner.take()
        if self.garbled:
            return b""
        last = self._read(rest) if rest.strip() else rest[self._early :]
        self._torn = bool(last)
        return last

    def break_off(self) -> bytes:
        """What must precede an error event so that it is not glued to an event begun and never finished."""
        return b"" if self.at_boundary else b"\n\n"
