"""What one key may do over all its sockets together: how many are open, how many messages a minute."""

from tollkeeper.core.errors import CallerError
from tollkeeper.core.gcra import Allowance, allowance, melted, standing
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import SocketLimits
from tollkeeper.core.rate import RateLimit

_MICROSECONDS = 1_000_000


class Caps:
    """Kept in memory, for one gate. There is an entry for each key that has opened a socket, no more."""

    def __init__(self, limits: SocketLimits, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._open: dict[str, int] = {}
        self._owed: dict[str, tuple[int, int]] = {}
        self.configure(limits)

    def configure(self, limits: SocketLimits) -> None:
        """From now on these hold."""
        self.limits = limits
        most = limits.messages_per_minute
        self._messages: Allowance = allowance(
            RateLimit(scope="key", of=None, dimension="requests", amount=most, per=60, burst=most)
        )

    def enter(self, key: Key) -> None:
        """A socket of this key is opened. Raises CallerError (429)."""
        count = self._open.get(key.id, 0)
        if count >= self.limits.connections_per_key:
            raise CallerError(
                f"This key has {count} sockets open, as many as it may.",
                status=429,
                type="requests",
                code="too_many_sockets",
            )
        self._open[key.id] = count + 1

    def leave(self, key: Key) -> None:
        """One was closed."""
        count = self._open.pop(key.id) - 1
        if count:
            self._open[key.id] = count

    def message(self, key: Key) -> None:
        """A message came. Raises CallerError (429) with the time to wait."""
        now = int(self._monotonic() * _MICROSECONDS)
        owed, at = self._owed.get(key.id, (0, now))
        owed = melted(owed, now - at, self._messages.amount)
        wait = standing(owed, 1, self._messages)[2]
        if wait:
            self._owed[key.id] = (owed, now)
            raise CallerError(
                f"More than {self.limits.messages_per_minute} messages a minute. "
                f"Try again in {-(-wait // _MICROSECONDS)} s.",
                status=429,
                type="requests",
                code="rate_limit_exceeded",
            )
        self._owed[key.id] = (owed + self._messages.span, now)
