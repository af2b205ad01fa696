"""What becomes of a provider's answer when its client has left: drain it within bounds, or cancel it."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from tollkeeper.core.account import Leave
from tollkeeper.core.limits import Positive, Seconds


class DrainBounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be read for nobody."""

    most: Annotated[int, Meta(ge=0)] = 200
    """Drains at one time; a client that leaves beyond them has its call cancelled."""
    seconds: Seconds = 120.0
    tokens: Positive = 32_000
    """Stream events read after the client left; providers send about one token an event."""


class Departures:
    """Counts the drains under way."""

    def __init__(self, bounds: DrainBounds) -> None:
        self.bounds = bounds
        self.draining = 0

    def departed(self, leave: Leave, close: Callable[[], None], limit_to: Callable[[float], None]) -> "Drain | None":
        """The client has left: close the answer, or begin to drain it. Returns the drain, None where it was cancelled."""
        if leave == "cancel" or self.draining >= self.bounds.most:
            close()
            return None
        limit_to(self.bounds.seconds)
        return Drain(self, self.bounds.tokens, close)


class Drain:
    """One answer being read for nobody."""

    def __init__(self, departures: Departures, tokens: int, close: Callable[[], None]) -> None:
        self._departures = departures
        self._tokens = tokens
        self._seen_before: int | None = None
        self._close = close
        departures.draining += 1

    def passed(self, seen: int) -> None:
        """Told how many events the stream has had in all; closes the answer when the bound is reached."""
        if self._seen_before is None:
            self._seen_before = seen
        elif seen - self._seen_before >= self._tokens:
            self._close()

    def end(self) -> None:
        """The answer has ended."""
        self._departures.draining -= 1
