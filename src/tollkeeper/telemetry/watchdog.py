"""Notices what holds the event loop up, and where: while one call blocks it, every other caller waits.

The loop leaves a mark every half of `longest`; a thread looks whether the mark is fresh, and if not, at what the loop's
thread is doing. Nothing is paid for by a call.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread, get_ident
from types import FrameType

from tollkeeper.core.ids import Clock

_WORST_OF = 15.0
"""Seconds; `lag` is the worst of the last one to two such spans."""
_FRAMES = 6


class Watchdog:
    """Watches the loop that `start` is called in. `longest`: seconds that it may be held up; beyond them `say` is told how
    many milliseconds it was and where, once in `between_lines` seconds at most; not in the `after` seconds from `start` on.
    """

    def __init__(
        self,
        longest: float,
        say: Callable[[int, str], None],
        monotonic: Clock,
        *,
        between_lines: float = 1.0,
        after: float = 2.0,
    ) -> None:
        self._longest = longest
        self._between_lines = between_lines
        self._after = after
        self._say = say
        self._monotonic = monotonic
        self._over = Event()
        self._marked = 0.0
        self._sampled = 0.0
        self._where = ""
        self._said_at = float("-inf")
        self._worst = [0.0, 0.0]
        self._span_began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.blocks = 0
        """How often the loop was held up for too long."""

    @property
    def lag(self) -> float:
        """The longest, in seconds, that something due on the loop has lately been late."""
        return max(self._worst)

    def start(self) -> None:
        """Begins, on the loop's own thread, once what starting up takes is over."""
        self._timer = asyncio.get_running_loop().call_later(self._after, self._begin)

    def stop(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._marked = self._span_began = self._monotonic()
        self._schedule()
        Thread(target=self._watch, args=(get_ident(),), name="watchdog", daemon=True).start()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._longest / 2, self._mark)

    def _mark(self) -> None:
        now = self._monotonic()
        gap = now - self._marked
        if now - self._span_began > _WORST_OF:
            self._worst = [0.0, self._worst[0]]
            self._span_began = now
        self._worst[0] = max(self._worst[0], gap - self._longest / 2)
        if gap > self._longest:
            self.blocks += 1
            if now - self._said_at >= self._between_lines:
                self._said_at = now
                self._say(round(gap * 1000), self._where if self._sampled == self._marked else "")
        self._marked = now
        self._schedule()

    def _watch(self, thread: int) -> None:
        wait = self._longest
        while not self._over.wait(wait):
            marked = self._marked
            overdue = self._monotonic() - marked - self._longest
            if overdue >= 0 and self._sampled != marked:
                frame = sys._current_frames().get(thread)
                if frame is not None:
                    self._where = _place(frame)
                    self._sampled = marked
            wait = self._longest if overdue >= 0 else -overdue


def _place(frame: FrameType | None) -> str:
    """The innermost calls, file and line; no values, which might be secrets."""
    calls: list[str] = []
    while frame is not None and len(calls) < _FRAMES:
        calls.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(calls)
