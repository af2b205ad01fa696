"""Whether a message is taken at all: its key is still good, and has not said more than a minute allows."""

from collections.abc import Callable

from tollkeeper.core.errors import CallerError, GateError, invalid_key
from tollkeeper.core.keys import Key
from tollkeeper.sockets.caps import Caps

GOING_AWAY, POLICY = 1001, 1008
Close = Callable[[int, str], None]
"""(code, reason): ends the socket."""


class Admission:
    """One socket's."""

    __slots__ = ("_caps", "_close", "_current", "_refused", "key", "stopping")

    def __init__(self, key: Key, caps: Caps, current: Callable[[Key], Key | None], close: Close) -> None:
        self.key = key
        self.stopping = False
        """Whether the gate is being stopped: nothing new is begun."""
        self._caps = caps
        self._current = current
        self._close = close
        self._refused = 0

    def check(self) -> Key:
        """One message that is not counted: whose it is. Raises CallerError (401) and closes the socket."""
        key = self._current(self.key)
        if key is None:
            self._close(POLICY, "The key can no longer be used.")
            raise invalid_key()
        self.key = key
        return key

    def admit(self) -> Key:
        """One message: whose it is. Raises CallerError (401, 429) and GateError; closes the socket where that is due."""
        key = self.check()
        try:
            self._caps.message(key)
        except CallerError:
            self._refused += 1
            if self._refused > self._caps.limits.messages_per_minute:
                self._close(POLICY, "Too many messages.")
            raise
        self._refused = 0
        if self.stopping:
            raise GateError("The gate is shutting down.", code="shutting_down")
        return key
