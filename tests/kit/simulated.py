"""An event loop whose time is simulated: where nothing is left to do now, it is at once the next timer's moment."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """Waits for nothing; says how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing would ever happen again")
        self.skipped += max(timeout, 0.0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs hours in moments. Its `time` is the clock that what is tested has to be given."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return 1_000_000.0 + self._skipping.skipped


class ThreadlessLoop(SimulatedLoop):
    """What is done in threads takes no time, either: a journal's syncs. The kernel's own are not to be had."""

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        raise OSError("nothing is heard of in simulated time")

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return done


def simulate(scenario: Coroutine[Any, Any, T], loop: Callable[[], SimulatedLoop] = SimulatedLoop) -> T:
    """Runs it in simulated time."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(scenario)
