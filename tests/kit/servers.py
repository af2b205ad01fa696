"""Real servers of the system, started by tests on free ports, and stopped."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kit.vitals import becomes

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def program(name: str) -> str:
    """Its path; the test is skipped where it is not installed."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does now."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server for the time of a `with`, from when it listens."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        assert becomes(lambda: listens(port) or process.poll() is not None, 30), log.read_text("utf-8")
        assert process.poll() is None, log.read_text("utf-8")
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into, unlike pytest's: servers change to users of their own."""
    folder = Path(tempfile.mkdtemp(prefix="tollkeeper-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
