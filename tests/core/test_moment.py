"""Two clocks are read as of one moment, however the system interrupts."""

from collections.abc import Iterator

from tollkeeper.core.moment import TOGETHER, moment


class Clocks:
    """Both clocks of a system that takes `pauses` seconds, one after the other, at each look."""

    def __init__(self, *pauses: float) -> None:
        self._pauses: Iterator[float] = iter(pauses)
        self.time = 0.0

    def now(self) -> float:
        self.time += next(self._pauses, 0.0)
        return 1000.0 + self.time

    def monotonic(self) -> float:
        return self.time


def test_clocks_that_were_read_apart_are_read_again() -> None:
    clocks = Clocks(0.004, 0.003, 0.0)
    said, monotonic = moment(clocks.now, clocks.monotonic)
    assert abs((said - 1000.0) - monotonic) <= TOGETHER
    assert monotonic == 0.007


def test_a_system_that_always_interrupts_is_believed_in_the_end() -> None:
    clocks = Clocks(*[0.01] * 1000)
    said, monotonic = moment(clocks.now, clocks.monotonic)
    assert said - 1000.0 >= monotonic
