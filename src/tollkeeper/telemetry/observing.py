"""Hands events to metrics and log, those of a moment together: caches stay warm, and calls do not wait."""

from collections.abc import Callable
from typing import Protocol

from tollkeeper.core.events import Event


class Observer(Protocol):
    """Takes one event after another."""

    def __call__(self, event: Event, /) -> None: ...


class Observing:
    """The events that were not handed on yet. `later` is to run what it is given in a moment; `after` ends a portion."""

    def __init__(
        self,
        observers: tuple[Observer, ...],
        after: Callable[[], None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._observers = observers
        self._after = after
        self._later = later
        self._unseen: list[Event] = []

    def __call__(self, event: Event) -> None:
        self._unseen.append(event)
        if len(self._unseen) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Hands on what there is."""
        events, self._unseen = self._unseen, []
        for event in events:
            for observer in self._observers:
                observer(event)
        self._after()
