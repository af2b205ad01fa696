"""The four workloads: what a request or a stream costs a server in CPU, and how many it serves in a second."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench import calls, wrk
from bench.processes import cpu_seconds, running
from bench.servers import REPOSITORY, Server

_SETTLES = 0.3
"""Seconds after the last answer in which what was queued (ledger, log) is written; it belongs to the requests."""


class Sample(Struct, frozen=True):
    """One round. A unit is a request or a stream."""

    micros: float
    """CPU microseconds a unit."""
    rate: float
    """Units a second."""
    failed: int
    lump: float = 1.0
    """Events that came in one HTTP chunk: above 1 where a server had fallen behind and joined them."""


Measure = Callable[[Path, Server, float], Sample]


def json_calls(body: bytes) -> Measure:
    """32 connections that post the same body."""

    def measure(folder: Path, server: Server, seconds: float) -> Sample:
        before = cpu_seconds(server.pid)
        found = wrk.run(folder, server.port, server.key, body, seconds, 32, server.path)
        time.sleep(_SETTLES)
        spent = cpu_seconds(server.pid) - before
        return Sample(spent * 1e6 / max(1, found.requests), found.requests * 1e6 / found.micros, found.failed)

    return measure


def streams(model: str, connections: int, ramp: float, hidden_usage: bool = False) -> Measure:
    """Connections that read one stream after the other."""

    def measure(folder: Path, server: Server, seconds: float) -> Sample:
        command = stream_command(server, model, connections, ramp, seconds, hidden_usage)
        with running(command, folder / "streams.log", cwd=REPOSITORY) as client:
            begin = next_mark(client)
            before, since = cpu_seconds(server.pid), time.monotonic()
            end = next_mark(client)
            spent, took = cpu_seconds(server.pid) - before, time.monotonic() - since
            failed = next_mark(client)["broken"]
        events, writes = (max(1, end[what] - begin[what]) for what in ("events", "writes"))
        units = events / (server.events - hidden_usage)
        return Sample(spent * 1e6 / units, units / took, failed, events / writes)

    return measure


def stream_command(
    server: Server, model: str, connections: int, ramp: float, seconds: float, hidden_usage: bool = False
) -> list[str]:
    """How the load of streams is started."""
    command = [sys.executable, "-m", "bench.streams", "--port", str(server.port), "--key", server.key, "--model", model]
    command += ["--path", server.path, "--events", str(server.events - hidden_usage)]
    command += ["--connections", str(connections), "--ramp", str(ramp), "--seconds", str(seconds)]
    return [*command, "--hidden-usage"] if hidden_usage else command


def next_mark(client: "subprocess.Popen[bytes]") -> dict[str, int]:
    """What the load of streams says next."""
    assert client.stdout is not None
    line = client.stdout.readline()
    if not line:
        raise RuntimeError("the load of streams ended too soon")
    found: dict[str, int] = json.loads(line)
    return found


def workloads(paced: int, hidden_usage: bool) -> dict[str, tuple[str, Measure]]:
    """By name: what one is, and how it is measured."""
    return {
        "small": ("small JSON, 32 connections", json_calls(calls.small())),
        "large": ("100 KB JSON, 32 connections", json_calls(calls.large())),
        "fast": ("68-event streams as fast as they come, 32 open", streams("gpt-4o-mini", 32, 0.1, hidden_usage)),
        "paced": (f"68-event streams paced at 10 ms, {paced} open", streams("paced", paced, 1.0, hidden_usage)),
    }


def beside_published() -> dict[str, Measure]:
    """What a published API is measured with beside the plain call, by what it is."""
    return {
        "small JSON, 32 connections: the plain call first": json_calls(calls.small()),
        "68-event streams, 32 open: the plain call first": streams("gpt-4o-mini", 32, 0.1),
        "68-event streams paced at 10 ms, 50 open: the same": streams("paced", 50, 0.5),
    }
