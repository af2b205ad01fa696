"""Resident memory: before any stream, while 1,000 are open, and after them."""

import time
from pathlib import Path

from msgspec import Struct

from bench import calls, wrk
from bench.processes import resident_kb, running
from bench.servers import REPOSITORY, Server
from bench.workloads import next_mark, stream_command

OPEN = 1000
_WINDOW = 5.0
_RESTS = 2.0


class Memory(Struct, frozen=True):
    """Kilobytes of a server's whole process tree."""

    server: str
    idle: int
    """After a second of small JSON calls on one connection: what is loaded at the first call is loaded."""
    open: int
    """The most that was seen while 1,000 streams were open, an event every 100 ms on each."""
    after: int
    failed: int

    @property
    def each(self) -> float:
        """Kilobytes a stream."""
        return (self.open - self.idle) / OPEN


def measure(folder: Path, server: Server) -> Memory:
    """One wave of streams through a server that has had no other load yet."""
    wrk.run(folder, server.port, server.key, calls.small(), 1, 1)
    time.sleep(_RESTS)
    idle = resident_kb(server.pid)
    command = stream_command(server, "slow", OPEN, 3.0, _WINDOW)
    most = 0
    with running(command, folder / "streams.log", cwd=REPOSITORY) as client:
        next_mark(client)
        until = time.monotonic() + _WINDOW
        while time.monotonic() < until:
            most = max(most, resident_kb(server.pid))
            time.sleep(0.25)
        next_mark(client)
        failed = next_mark(client)["broken"]
    time.sleep(_RESTS)
    return Memory(server.name, idle, most, resident_kb(server.pid), failed)
