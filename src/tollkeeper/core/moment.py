"""One moment on two clocks: the system's, that records share, and the one nobody sets, that durations come from."""

from tollkeeper.core.ids import Clock

TOGETHER = 0.0001
"""Seconds that may pass between the looks at the two."""
_TRIES = 20
"""A system that stops the gate at each of them is believed to be a clock of a test's."""


def moment(now: Clock, monotonic: Clock) -> tuple[float, float]:
    """(Unix time, monotonic time) of one moment, in seconds, at most `TOGETHER` apart.

    The system may let others run for milliseconds between two looks at clocks. A start by one of them and an end by the
    other would then be too early or too late by as much, and records of what happened meanwhile would contradict them.
    """
    before = monotonic()
    for _ in range(_TRIES):
        said = now()
        after = monotonic()
        if after - before <= TOGETHER:
            break
        before = after
    return said, before
