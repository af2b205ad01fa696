"""The demo's gate: `tollkeeper serve --demo` in a process of its own, which ends whatever ends the demo."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

PORTS = {"--port": 9080, "--operator-port": 9180}
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Trouble(Exception):
    """What kept the demo from working, in words for the one who runs it."""


class Gate:
    """The process, on ports that are free. `with` starts and ends it."""

    url = operator_url = operator_key = key = own_request = ""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._log: list[str] = []
        self._quiet = True

    def __enter__(self) -> "Gate":
        command = [sys.executable, "-m", "tollkeeper", "serve", "--demo", "--json", "--home", str(self.home)]
        for option, port in PORTS.items():
            command += [option, str(port if is_free(port) else 0)]
        # In a session of its own: Ctrl-C reaches this process alone, which then ends the gate in good order.
        self._process = subprocess.Popen(
            command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        threading.Thread(target=self._read_log, daemon=True).start()
        try:
            line = self._process.stdout.readline()
            if not line:
                raise Trouble(f"The gate did not start: it ended with exit code {self._process.wait()}. {self._said()}")
        except BaseException:
            self.__exit__()
            raise
        about: dict[str, str] = json.loads(line)
        self.url, self.operator_url = about["gate"], about["operator"]
        self.key, self.operator_key = about["demo_key"], about["operator_key"]
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet = True
        if self._process.poll() is None:
            for each in STOPS:  # a second Ctrl-C does not wait for calls that are under way
                signal.signal(each, lambda number, frame: self._process.terminate())
            self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def asked(self, path: str) -> list[dict[str, Any]]:
        """What the operator port answers."""
        request = urllib.request.Request(self.operator_url + path, headers={"x-api-key": self.operator_key})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]
        return found

    def event(self, seconds: float = 10) -> dict[str, Any]:
        """The record of our own request, which is written a moment after the answer's end."""
        until = time.monotonic() + seconds
        while not (found := self.asked(f"/api/events?request_id={self.own_request}")):
            if time.monotonic() > until:
                raise Trouble(f"The ledger has no record of request {self.own_request}. {self._said()}")
            time.sleep(0.02)
        return found[0]

    def serve(self) -> None:
        """Shows the gate's log until the gate ends, which is not its own decision."""
        self._quiet = False
        raise Trouble(f"The gate ended by itself, with exit code {self._process.wait()}. {self._said()}")

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for data in self._process.stderr:
            line = data.decode("utf-8", "replace")
            self._log = [*self._log[-20:], line]
            if not self._quiet and self.own_request not in line:
                with contextlib.suppress(BrokenPipeError):
                    sys.stdout.write(f"  {line}")
                    sys.stdout.flush()

    def _said(self) -> str:
        time.sleep(0.1)
        return "It said:\n" + "".join(self._log) if self._log else "It said nothing."


def is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
