"""An event stream's events as messages of a socket: the data of each, and nothing else of it."""

from collections.abc import Awaitable

from tollkeeper.core.call import Sink
from tollkeeper.wire import sse


class Messages:
    """A `core.call.Sink` in front of another whose every write is a message."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._scanner = sse.EventScanner()

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked

    def write(self, data: bytes) -> None:
        """A piece of the stream, cut anywhere."""
        self.hear(data)

    def hear(self, data: bytes) -> int:
        """How many events with JSON in them it completed."""
        count = 0
        for event in self._scanner.feed(data):
            text = sse.data_of(event)
            if text is not None and text.startswith(b"{"):
                count += 1
                self._sink.write(self.shown(event, text))
        return count

    def shown(self, event: bytes, data: bytes) -> bytes:
        """What is written of an event."""
        return data
