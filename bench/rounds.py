"""Takes servers in turn, round after round, and makes one line of medians for each."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench.servers import Server
from bench.workloads import Measure, Sample


class Line(Struct, frozen=True):
    """What a server did with a workload."""

    workload: str
    server: str
    micros: float
    """CPU microseconds a request or a stream."""
    ratio: float
    """That, beside the first server's."""
    rate: float
    """Requests or streams a second."""
    cores: float
    """Cores kept busy. A server near 1 was the limit, and what it had fallen behind with it joined."""
    lump: float
    """Events in one HTTP chunk."""
    failed: int


def alternate(
    folder: Path, workload: str, measure: Measure, servers: Sequence[Server], rounds: int, seconds: float
) -> list[Line]:
    """One line a server, in the order given; the first is what the others are compared with."""
    found: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for server in servers:
        measure(folder, server, 1.0)
    for _ in range(rounds):
        for server in servers:
            found[server.name].append(measure(folder, server, seconds))
    lines: list[Line] = []
    for name, samples in found.items():
        micros = statistics.median(sample.micros for sample in samples)
        rate = statistics.median(sample.rate for sample in samples)
        first = lines[0].micros if lines else micros
        lump = statistics.median(sample.lump for sample in samples)
        failed = sum(sample.failed for sample in samples)
        lines.append(Line(workload, name, micros, micros / first, rate, micros * rate / 1e6, lump, failed))
    return lines
