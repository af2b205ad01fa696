"""A thread with the event loop that owns the gate, for servers that know only threads."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import uvloop

from tollkeeper import config as configuration
from tollkeeper.app import App, open_app
from tollkeeper.core.errors import GateError, TollkeeperError
from tollkeeper.operator.api import operator_app
from tollkeeper.server.door import Door
from tollkeeper.server.listener import Listener, allow_many_files, bind
from tollkeeper.server.opening import door_of
from tollkeeper.stores.sqlite.sole import HomeTaken, sole

Ask = Callable[[Door], Awaitable[None]]

_LAST_WORDS = 1.0
"""Seconds that calls have to settle once they were cancelled: Apache kills a process three seconds after it told it to
end, and the server has waited for its calls before."""
_CLOSE = 30.0


class Host:
    """Owns the home from `start` to `stop`. Its methods may be called from any thread."""

    def __init__(self, config: Path | None, home: Path | None, environment: Mapping[str, str], patience: float) -> None:
        self._config = config
        self._home = home
        self._environment = environment
        self._patience = patience
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tollkeeper", daemon=True)
        self._tasks: set[asyncio.Future[None]] = set()
        self._stop: asyncio.Event
        self._grace = math.inf
        self.loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Returns when calls can be taken. Raises TollkeeperError, the same each time: another try needs another host."""
        if not self._thread.is_alive() and not self._ready.is_set():
            self._thread.start()
        self._ready.wait()
        if isinstance(self._failed, TollkeeperError):
            raise self._failed
        if self._failed is not None:
            raise GateError(f"The gate failed: {type(self._failed).__name__}.") from self._failed

    def stop(self, grace: float) -> None:
        """Takes no more calls, lets those under way end within `grace` seconds, and goes on to its end without being waited
        for: calls are cut, which settles them, and the ledger is written out."""
        with contextlib.suppress(RuntimeError, AttributeError):  # its loop is closed already, or was never made
            self.loop.call_soon_threadsafe(self._told, grace)

    def join(self) -> None:
        """Waits for that end."""
        self._thread.join(_CLOSE)

    def _told(self, grace: float) -> None:
        self._grace = min(self._grace, grace)
        self._stop.set()

    def begin(self, ask: Ask) -> None:
        """Runs `ask` in the loop. Raises GateError where that has ended."""
        try:
            self.loop.call_soon_threadsafe(self._begin, ask)
        except RuntimeError:
            raise shutting_down() from None

    def _begin(self, ask: Ask) -> None:
        task = asyncio.ensure_future(ask(self._gate))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked was told

    def _run(self) -> None:
        try:
            home = self._home or configuration.home(self._config)
            allow_many_files()
            with _alone(home, self._patience):
                uvloop.run(self._serve(home))
        except BaseException as error:  # the thread that waits for `start` raises it
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self, home: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = open_app(self._config, home, self._environment)
        try:
            self._gate = door_of(app)
            operator = _operator(app)
            app.start()
            serving = self.loop.create_task(operator.run_until_told())
            self._ready.set()
            await self._stop.wait()
            app.stop()
            operator.should_exit = operator.force_exit = True
            if self._tasks and self._grace:
                await asyncio.wait(self._tasks, timeout=self._grace)
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
            await serving
        finally:
            if not await app.close():
                app.log.say("ledger_trouble", reason="not all was written at the end")
                app.log.flush()


def shutting_down() -> GateError:
    """What a call is answered with that came too late, or goes on for too long."""
    return GateError("The gate is shutting down.", code="shutting_down")


def _operator(app: App) -> Listener:
    """The operators' port beside it, as `tollkeeper serve` has it."""
    server = app.loaded.config.server
    listening = bind(server.operator_host, server.operator_port)
    operator: Any = operator_app(app)
    return Listener(operator, listening, server.limits, 1.0, app.new_id)


@contextlib.contextmanager
def _alone(home: Path, patience: float) -> Iterator[None]:
    """Holds `home`, and waits a while for a predecessor that is about to end. Raises GateError."""
    until = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(sole(home))
                break
            except HomeTaken:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield
