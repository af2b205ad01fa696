"""A real `tollkeeper serve` process on free ports, with a home and a config of its own."""

import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kit.copies import TOLLKEEPER, run, start


class GateProcess:
    """A running gate and the means to talk with it. Every answer is (status, headers, body)."""

    program: tuple[str, ...] = TOLLKEEPER
    """What Python is to run; a test may put another in its place before it starts the gate again."""

    def __init__(self, folder: Path, config: str, environment: Mapping[str, str], *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.config = folder / "tollkeeper.toml"
        self.config.write_text(config, "utf-8")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            **environment,
        }
        self.options = options
        self.log_file = folder / "gate.log"
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again on the same home; returns when it serves."""
        with self.log_file.open("ab") as log:
            options = ("--json", "--home", str(self.home), "--config", str(self.config), *self.options)
            self.process = start(
                *("serve", "--port", "0", "--operator-port", "0", *options),
                program=self.program,
                folder=self.config.parent,
                environment=self.environment,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log_file.read_text("utf-8")
        self.about: dict[str, Any] = json.loads(line)
        self.url: str = self.about["gate"]
        self.operator_url: str = self.about["operator"]
        self.operator_key = (self.home / "operator.key").read_text("ascii").strip()
        self.port = int(self.url.rpartition(":")[2])
        _wait_until_answers(self.url + "/healthz")

    def stop(self, number: int = signal.SIGTERM, timeout: float = 40) -> int:
        """Sends a signal to the process that we started and waits for its end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def command(self, *arguments: str, check: bool = True) -> Any:
        """Runs another tollkeeper command on the same home; its JSON."""
        done = run(*arguments, "--json", "--home", str(self.home), folder=Path.cwd(), environment=self.environment)
        assert not check or done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def new_key(self, **fields: Any) -> str:
        """A new key's secret, made through the operator port."""
        status, _, body = self.operator("POST", "/api/keys", {"name": "test", **fields})
        assert status == 201, body
        secret: str = json.loads(body)["key"]
        return secret

    def operator(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        """One request to the operator port, with the operator key."""
        return request(method, self.operator_url + path, {"x-api-key": self.operator_key}, body)

    def call(
        self, method: str, path: str, key: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request to the gate."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(method, self.url + path, {"authorization": f"Bearer {key}", **named}, body)

    def events(self, **filters: str) -> list[dict[str, Any]]:
        """The ledger's events, newest first."""
        query = "&".join(f"{name}={value}" for name, value in {"limit": "1000", **filters}.items())
        status, _, body = self.operator("GET", f"/api/events?{query}")
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)["data"]
        return found

    def events_once(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """The events, when there are `count` of them or more: an end is queued, so it may come a moment later."""
        until = time.monotonic() + seconds
        while len(found := self.events()) < count and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def event(self, request_id: str, seconds: float = 30) -> dict[str, Any]:
        """The one event of a request."""
        until = time.monotonic() + seconds
        while not (found := self.events(request_id=request_id)) and time.monotonic() < until:
            time.sleep(0.02)
        assert len(found) == 1, found
        return found[0]

    def log(self) -> str:
        """The lines that it has logged so far: one that is just being written is not a line yet."""
        whole, _, _ = self.log_file.read_bytes().rpartition(b"\n")
        return whole.decode() + "\n" if whole else ""


def request(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> tuple[int, dict[str, str], bytes]:
    """A plain HTTP request: a body that is not bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = urllib.request.Request(url, data, dict(headers), method=method)
    if data is not None and not sent.has_header("Content-type"):
        sent.add_header("Content-type", "application/json")
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


@contextlib.contextmanager
def running_gate(
    folder: Path, config: str = "", environment: Mapping[str, str] | None = None, *options: str
) -> Iterator[GateProcess]:
    """A gate for the time of a `with`. Ports are free ones; the log is JSON in folder/gate.log."""
    if "[log]" not in config:
        config += '\n[log]\nformat = "json"\n'
    if "[retry]" not in config:
        config += "\n[retry]\nretries = 0\n"  # one request, one attempt, unless a test is about more
    gate = GateProcess(folder, config, environment or {}, *options)
    try:
        yield gate
    finally:
        if gate.process.poll() is None:
            gate.stop(signal.SIGKILL)
        elif gate.process.stdout is not None:
            gate.process.stdout.close()


def _wait_until_answers(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
