"""What a running process uses: resident memory, CPU time, open files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes of memory that it occupies now, without files: a copy of a process looks into its libraries anew."""
    _, all_of_it, of_files, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    return (int(all_of_it) - int(of_files)) * _PAGE


def cpu_seconds(pid: int) -> float:
    """CPU time that it has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def under_way(port: int) -> int:
    """Connections to a port of this machine, open and with all read that has come on them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(
        place.endswith(f":{port:04X}") and state == "01" and queues.endswith(":00000000")
        for _, place, _, state, queues, *_ in lines
    )


def open_files(pid: int) -> int:
    """How many descriptors it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def becomes(question: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether the answer becomes yes in time."""
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
