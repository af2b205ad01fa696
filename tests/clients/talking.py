"""An upstream that begins to talk and comes to its end only when it is told that its listener has gone."""

import threading
import time
from collections.abc import Sequence

from kit.scripted import SSE_HEAD, Connection, Request


class TalkingOn:
    """A script for the scripted upstream: the first event, then comments until `listener_has_gone`, then the rest."""

    def __init__(self, events: Sequence[bytes]) -> None:
        self._events = events
        self._gone = threading.Event()

    def __call__(self, request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        connection.chunk(self._events[0])
        while not self._gone.wait(0.1):
            if not connection.chunk(b": still here\n\n"):
                return False
        connection.chunk(b"".join(self._events[1:]))
        return connection.end()

    def listener_has_gone(self) -> None:
        """A moment later, so that the gate has heard of it."""
        time.sleep(0.2)
        self._gone.set()
