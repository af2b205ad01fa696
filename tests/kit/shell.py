"""A reader of the docs with a terminal: types what a page says into one bash session and compares what comes back."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from kit.copies import Copy, start
from kit.typed import Typed

GATE, OPERATORS = "http://127.0.0.1:9080", "http://127.0.0.1:9180"
"""The addresses that pages speak of; the session's gate is on free ports."""
_END = "--- end of command"
_web = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SERVE = re.compile(r"^(\w+=\S+ +)*tollkeeper serve\b")


class Shell:
    """One page's session: a folder to work in, a home of its own, no provider's keys but those that the page sets."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, installed: bool = False) -> None:
        """`installed`: its `tollkeeper` is the one that pip has written, not a copy."""
        self.folder = folder / "work"
        self.home = folder / "home"
        self.folder.mkdir(parents=True)
        self.home.mkdir()
        self.key: str | None = None
        """The secret that was shown last: what `tk-...` on a page stands for."""
        kept = {n: v for n, v in os.environ.items() if not n.endswith(("_API_KEY", "_proxy", "_PROXY"))}
        self._environment = kept | {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "100",
            **environment,
        }
        self._log = folder / "gate.log"
        self._gate: Copy | subprocess.Popen[bytes] | None = None
        self._addresses: dict[str, str] = {}
        self._installed = installed
        self._open = contextlib.ExitStack()
        if not installed:
            self._open.enter_context(Typed(folder / "bin"))
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self._environment,
            text=True,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bash.communicate("exit\n", timeout=30)
        if self._gate is not None:
            self.stop_gate(signal.SIGKILL)
        self._open.close()

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output of what a page says, its addresses and keys replaced by this session's and back."""
        if _SERVE.match(command):
            return 0, self._serve(command)
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        script = self.folder.parent / "command.sh"
        script.write_text(self._mine(command) + "\n", "utf-8")
        self._bash.stdin.write(f". '{script}' </dev/null; code=$?; printf '\\n%s %d\\n' '{_END}' $code; (exit $code)\n")
        self._bash.stdin.flush()
        said = ""
        while (line := self._bash.stdout.readline()) and not line.startswith(_END):
            said += line
        assert line, f"the session ended: {said}"
        shown = re.findall(r"\btk-[\w-]{43}", said)
        if shown:
            self.key = shown[-1]
            self._wait_until_known(self.key)
        return int(line.removeprefix(_END)), self._theirs(said.removesuffix("\n"))

    def configure(self, text: str) -> None:
        """Adds to the config of the gate that runs; returns when it was taken."""
        file = self.folder / "tollkeeper.toml"
        taken = self._log.read_text("utf-8").count("config_loaded")
        whole = file.with_suffix(".new")  # in one step: the gate might look while half of it is written
        whole.write_text(file.read_text("utf-8") + "\n" + text, "utf-8")
        whole.replace(file)
        until = time.monotonic() + 20
        while self._log.read_text("utf-8").count("config_loaded") == taken:
            assert time.monotonic() < until, self._log.read_text("utf-8")
            time.sleep(0.05)

    def wait_for_events(self, count: int, seconds: float = 30) -> None:
        """Until the ledger has as many: an event is written a moment after its answer's end."""
        until = time.monotonic() + seconds
        while self.run("tollkeeper events --limit 1000")[1].count("\n") < count and time.monotonic() < until:
            time.sleep(0.05)

    def stop_gate(self, number: int = signal.SIGTERM) -> int:
        """Ends the session's gate."""
        assert self._gate is not None
        assert self._gate.stdout is not None
        self._gate.send_signal(number)
        code = self._gate.wait(40)
        self._gate.stdout.close()
        self._gate = None
        return code

    def _wait_until_known(self, key: str, seconds: float = 30) -> None:
        """A running gate knows a new key soon."""
        until = time.monotonic() + seconds
        while self._gate is not None and not _admits(self._addresses[GATE], key):
            assert time.monotonic() < until, f"the gate has not noticed the new key for {seconds} s"
            time.sleep(0.02)

    def _serve(self, command: str) -> str:
        if self._gate is not None:
            self.stop_gate()
        with self._log.open("ab") as log:
            self._gate = self._started(f"{command} --port 0 --operator-port 0", log)
        assert self._gate.stdout is not None
        said = os.read(self._gate.stdout.fileno(), 65536).decode()
        found = re.findall(r"http://[\d.]+:\d+", said)
        assert len(found) >= 2, said + self._log.read_text("utf-8")
        self._addresses = {GATE: found[0], OPERATORS: found[1]}
        with _web.open(found[0] + "/healthz", timeout=10):
            return self._theirs(said)

    def _started(self, command: str, log: IO[bytes]) -> Copy | subprocess.Popen[bytes]:
        if self._installed:
            line, environment = ["bash", "-c", f"exec env {command}"], self._environment
            return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, cwd=self.folder, env=environment)
        words = shlex.split(command)
        of_the_program = words.index("tollkeeper")
        environment = self._environment | dict(word.split("=", 1) for word in words[:of_the_program])
        return start(*words[of_the_program + 1 :], folder=self.folder, environment=environment, stderr=log)

    def _mine(self, text: str) -> str:
        for theirs, mine in self._addresses.items():
            text = text.replace(theirs.removeprefix("http://"), mine.removeprefix("http://"))
        return text.replace("tk-...", self.key or "tk-...")

    def _theirs(self, text: str) -> str:
        for theirs, mine in self._addresses.items():
            text = text.replace(mine, theirs)
        return text


def _admits(gate: str, key: str) -> bool:
    try:
        with _web.open(urllib.request.Request(f"{gate}/v1/models", headers={"x-api-key": key}), timeout=10):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code != 401


def matches(said: str, shown: str) -> bool:
    """Whether a page's output is what was said: `…` stands for anything in a line, alone on a line for any lines."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            words = [re.escape(part) for part in re.split(r"…| +", line)]
            gaps = [".*" if gap == "…" else " +" for gap in re.findall(r"…| +", line)] + [""]
            pattern += "".join(word + gap for word, gap in zip(words, gaps, strict=True)) + r" *\n"
    return re.fullmatch(pattern, said.rstrip("\n") + "\n" if said.strip() else "") is not None
