"""The WSGI callable: starts the gate when it is first needed, and ends it with the process."""

import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tollkeeper.core.errors import ConfigError, GateError, TollkeeperError
from tollkeeper.dialects import openai_errors
from tollkeeper.wsgi import environment
from tollkeeper.wsgi.exchange import Environ, Exchange, StartResponse
from tollkeeper.wsgi.host import Host

_AGAIN = 5.0
"""Seconds after which a gate that could not be started is tried again."""

_GRACE = 0.5
"""Seconds that calls under way may go on when mod_wsgi is told to end; Apache kills it after three."""


class Application:
    """Reads from `variables` where config and home are, at its start and not before.

    `patience`: seconds that the home may still be held by the process which this one follows.
    """

    def __init__(self, variables: Mapping[str, str], patience: float = 10.0) -> None:
        self._variables = variables
        self._patience = patience
        self._lock = threading.Lock()
        self._host: Host | None = None
        self._failed_at = 0.0
        self._ends = False

    def start(self) -> bool:
        """Has the gate running before the first call; False, and the reason on standard error, where it cannot be."""
        try:
            self._running()
        except TollkeeperError as error:
            _say_why(error)
            return False
        return True

    def _running(self) -> Host:
        """Raises TollkeeperError: a config that is wrong, a home that another process holds."""
        with self._lock:
            if self._host is None:
                self._host = self._made()
            try:
                self._host.start()
            except TollkeeperError:
                if time.monotonic() - self._failed_at > _AGAIN:
                    self._host, self._failed_at = None, time.monotonic()
                raise
            return self._host

    def stop(self) -> None:
        """Ends calls, which settle, and writes the ledger out; a later request is refused."""
        if self._host is not None:
            self._host.stop(0)
            self._host.join()

    def _told(self, *_: object, **__: object) -> None:
        if self._host is not None:
            self._host.stop(_GRACE)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI 1.0.1."""
        shown = GateError("The gate is not running: its log says why.")
        try:
            host = self._running()
            try:
                exchange = Exchange(environ, host.loop)
                host.begin(exchange.run)
                return exchange.answer(start_response)
            except GateError as stopping:
                shown = stopping
        except TollkeeperError as error:
            _say_why(error)
        body = openai_errors.body(shown)
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("retry-after", "5")]
        start_response("503 Service Unavailable", headers)
        return [body]

    def _made(self) -> Host:
        variables = dict(self._variables)
        file = variables.get("TOLLKEEPER_ENVIRONMENT")
        if file:
            variables |= environment.read(Path(file))
        config, home = (variables.get(name) for name in ("TOLLKEEPER_CONFIG", "TOLLKEEPER_HOME"))
        host = Host(Path(config) if config else None, Path(home) if home else None, variables, self._patience)
        if not self._ends:
            # Earlier than atexit, by which time no executor takes work any more, and the ledger's is needed to close it.
            threading._register_atexit(self.stop)  # type: ignore[attr-defined]
            # mod_wsgi aborts a process whose calls go on for too long without telling Python, but first it says so.
            if "mod_wsgi" in sys.modules:
                sys.modules["mod_wsgi"].subscribe_shutdown(self._told)
            self._ends = True
        return host


def _say_why(error: TollkeeperError) -> None:
    """In the server's error log, which standard error is."""
    for problem in error.problems if isinstance(error, ConfigError) else [error.message]:
        sys.stderr.write(f"tollkeeper: {problem}\n")
