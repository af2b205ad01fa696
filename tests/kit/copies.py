"""Starts `python -m tollkeeper` without half a second of imports, as a copy of a process that has them (prepared.py)."""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO

TOLLKEEPER = ("-m", "tollkeeper")
"""What Python is to run."""
PREPARED = Path(__file__).with_name("prepared.py")
OF_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
"""How the variables begin that an interpreter reads when it starts: a copy comes too late for them."""


def start(
    *arguments: str,
    program: tuple[str, ...] = TOLLKEEPER,
    folder: Path,
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> "Copy | subprocess.Popen[bytes]":
    """A `program` with these arguments: Tollkeeper as a copy, unless the system or the environment forbids it."""
    if program == TOLLKEEPER and hasattr(os, "pidfd_open") and _of_the_start(environment) == _of_the_start(os.environ):
        return Copy(arguments, folder, environment, stdin, stdout, stderr)
    command = [sys.executable, *program, *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=dict(environment), cwd=folder)


def run(
    *arguments: str, folder: Path, environment: Mapping[str, str], input: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Tollkeeper with these arguments, to its end. Raises TimeoutExpired, when it has killed it."""
    process = start(*arguments, folder=folder, environment=environment, stdin=subprocess.PIPE)
    try:
        out, error = process.communicate(input, timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=60)
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, error)


class Copy:
    """A process with as much of `subprocess.Popen` as tests use."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        folder: Path,
        environment: Mapping[str, str],
        stdin: int,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> None:
        self.args = arguments
        self.returncode: int | None = None
        asked = json.dumps({"arguments": arguments, "folder": str(folder.absolute()), "environment": dict(environment)})
        theirs: list[int] = []
        self.stdin = _opened(stdin, theirs, ours=1)
        self.stdout = _opened(stdout, theirs, ours=0)
        self.stderr = _opened(stderr, theirs, ours=0)
        told, tells = os.pipe()
        theirs.append(tells)
        self._told = os.fdopen(told, "rb", buffering=0, closefd=False)
        weakref.finalize(self, os.close, told)  # not at the end: several threads may be waiting for it
        self._one_reads = threading.Lock()
        self._readers: list[threading.Thread] | None = None
        self._said: dict[str, bytes] = {}
        socket.send_fds(_prepared(), [asked.encode()], theirs)
        for file in theirs:
            os.close(file)
        self.pid = self._number()

    def poll(self) -> int | None:
        """The exit code, if it has ended; a signal's number below zero, as `subprocess` says it."""
        with self._one_reads:
            if self.returncode is None and self._has_been_told(0):
                self.returncode = self._number()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            self._has_been_told(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Writes `input`, reads until nobody writes any more, and waits. Raises TimeoutExpired: it may be called again."""
        if self._readers is None:
            self._readers = [self._reader(name) for name in ("stdout", "stderr")]
        if self.stdin is not None and not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended, or wants no more
                self.stdin.write(input or b"")
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
        for reader in self._readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(timeout)
        return self._said.get("stdout", b""), self._said.get("stderr", b"")

    def send_signal(self, number: int) -> None:
        """To the process, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _reader(self, name: str) -> threading.Thread:
        def read() -> None:
            file: IO[bytes] | None = getattr(self, name)
            if file is not None and not file.closed:
                with file:
                    self._said[name] = file.read()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader

    def _has_been_told(self, timeout: float | None) -> bool:
        waiting = select.poll()  # where a test has thousands of files open, select() would refuse this one
        waiting.register(self._told, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def _number(self) -> int:
        line = self._told.readline()
        assert line, "the prepared process is gone"
        return int(line)


def _opened(what: int | IO[bytes], theirs: list[int], ours: int) -> IO[bytes] | None:
    """Adds the copy's end to `theirs`; the other end, if it is a pipe."""
    if what == subprocess.DEVNULL:
        theirs.append(os.open(os.devnull, os.O_RDWR))
    elif what != subprocess.PIPE:
        theirs.append(os.dup(what if isinstance(what, int) else what.fileno()))
    else:
        ends = os.pipe()
        theirs.append(ends[1 - ours])
        return os.fdopen(ends[ours], "wb" if ours else "rb")
    return None


def _of_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(OF_THE_START)}


@functools.cache
def _prepared() -> socket.socket:
    """Where copies are asked for. The process behind it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # -P: no folder of the kit's may stand before the packages
        command = [sys.executable, "-P", str(PREPARED), str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours
