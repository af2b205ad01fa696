"""A gate that kills itself as by `kill -9`, at a chosen step of its work: `STEP:N`, the Nth time that it comes there."""

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from typing import Any

from tollkeeper.app import App
from tollkeeper.cli.main import main
from tollkeeper.flow.event_stream import EventStream
from tollkeeper.stores.sqlite import ledger, recovery, upkeep
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.syncing import KernelSyncer, ThreadSyncer
from tollkeeper.stores.sqlite.upkeep import Upkeep
from tollkeeper.upstream.client import HttpClient

VARIABLE = "TOLLKEEPER_TEST_DIES"


class _Dies:
    """Comes there, and dies the Nth time: of those once it is armed, as whoever kills it may have to ask it first."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.armed = False

    def arm(self) -> None:
        self.armed = True

    def __call__(self) -> None:
        if not self.armed:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, here: _Dies, when: Callable[..., bool] = lambda *_: True) -> None:
    whole = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        if when(*given):
            here()
        return whole(*given, **named)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, here: _Dies, when: Callable[..., bool] = lambda *_: True) -> None:
    whole = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        said = whole(*given, **named)
        if when(*given):
            here()
        return said

    setattr(owner, name, wrapped)


def _after_await(owner: Any, name: str, here: _Dies) -> None:
    whole = getattr(owner, name)

    async def wrapped(*given: Any, **named: Any) -> Any:
        said = await whole(*given, **named)
        here()
        return said

    setattr(owner, name, wrapped)


def _amid(owner: Any, name: str, statement: str, here: _Dies) -> None:
    """Dies before the statement that begins so."""
    whole = getattr(owner, name)

    class Watched:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, text: str, *values: Any) -> Any:
            if text.startswith(statement):
                here()
            return self._connection.execute(text, *values)

        def executemany(self, text: str, *values: Any) -> Any:
            return self._connection.executemany(text, *values)

    def wrapped(connection: sqlite3.Connection, *given: Any) -> Any:
        return whole(Watched(connection), *given)

    setattr(owner, name, wrapped)


def _while_pages_move(here: _Dies) -> None:
    whole = Upkeep._move_pages

    def wrapped(self: Upkeep) -> None:
        threading.Timer(0.0005, here).start()
        whole(self)

    Upkeep._move_pages = wrapped  # type: ignore[method-assign]


STEPS: dict[str, Callable[[_Dies], None]] = {
    "before the hold": lambda here: _before(SqliteLedger, "hold", here),
    "hold queued": lambda here: _before(SqliteLedger, "_begin", here, lambda found: bool(found._holds)),
    "hold in an open transaction": lambda here: _after(ledger, "put", here, lambda _, holds, ends: bool(holds)),
    "committed and not synced": lambda here: (
        [_before(way, "sync", here) for way in (KernelSyncer, ThreadSyncer)] and None
    ),
    "synced": lambda here: _before(SqliteLedger, "_ended", here),
    "held and not sent": lambda here: _after_await(SqliteLedger, "hold", here),
    "sent": lambda here: _after_await(HttpClient, "send", here),
    "in a stream": lambda here: _after(EventStream, "feed", here),
    "before the end": lambda here: _before(SqliteLedger, "settle", here),
    "end queued": lambda here: _after(SqliteLedger, "settle", here),
    "end in an open transaction": lambda here: _after(ledger, "put", here, lambda _, holds, ends: bool(ends)),
    "summing": lambda here: _amid(upkeep, "add_up", "DELETE FROM temp.batch", here),
    "summed": lambda here: _amid(upkeep, "add_up", "COMMIT", here),
    "pages move": _while_pages_move,
    "the log begins again": lambda here: _amid(upkeep, "begin_log_again", "PRAGMA user_version", here),
    "shutting down": lambda here: _before(App, "close", here),
    "last ends": lambda here: _before(SqliteLedger, "close", here),
    "recovering": lambda here: _after(recovery, "put", here),
}

if __name__ == "__main__":
    step, _, times = os.environ[VARIABLE].partition(":")
    upkeep._EVERY = 0.03
    upkeep._CHECKPOINT_ROWS = 60
    upkeep._STEP = 20
    dies = _Dies(int(times))
    STEPS[step](dies)
    if step == "recovering":
        dies.arm()
    else:
        _before(SqliteLedger, "hold", dies.arm)
    sys.argv[0] = "tollkeeper"
    main()
