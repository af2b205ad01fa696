"""The processes that a measurement starts: what they spend, and their end, only ever by the pid of one started here."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Unready(Exception):
    """A process did not come up; the message has the end of its log."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    talks: bool = True,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process for the time of a `with`; told to end, then made to. One that talks has a pipe; the rest goes to `log`."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else errors,
            stderr=errors,
            env=environment,
            cwd=cwd,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]", patience: float = 10) -> None:
    """SIGTERM, then SIGKILL to it and to the children that outlived it."""
    tree = [(pid, _born(pid)) for pid in family(process.pid)]
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid, born in tree[1:]:
        if born and _born(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def first_line(process: "subprocess.Popen[bytes]", log: Path) -> bytes:
    """What the process says first. Raises Unready where it ends instead."""
    assert process.stdout is not None
    line: bytes = process.stdout.readline()
    if not line:
        raise Unready(f"{process.args!r} ended at once:\n{log.read_text('utf-8', 'replace')[-2000:]}")
    return line


def wait_for_port(process: "subprocess.Popen[bytes]", port: int, log: Path, seconds: float = 20) -> None:
    """Returns when something listens on `port`. Raises Unready where it does not in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise Unready(f"{process.args!r} does not listen:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """The process, then its children and theirs."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(int(name)), []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and all below it, the ended ones included."""
    return sum(sum(int(field) for field in _stat(one)[11:15]) for one in family(pid) if _stat(one)) * _TICK


def resident_kb(pid: int) -> int:
    """Resident memory of the process and all below it."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{one}/status").read_text("ascii", "replace")
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return total


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _born(pid: int) -> str:
    """When it began: a pid alone may have become another process's."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return []
