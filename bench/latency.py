"""What a server adds to the time of a call that goes alone, beside the mock without anything before it."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench import calls, wrk
from bench.servers import Server


class Latency(Struct, frozen=True):
    """Microseconds of a small JSON call on one connection."""

    server: str
    p50: float
    p99: float
    failed: int


def alternate(folder: Path, servers: Sequence[Server], rounds: int, seconds: float) -> list[Latency]:
    """One line a server, in the order given: medians of the rounds' percentiles."""
    found: dict[str, list[wrk.Found]] = {server.name: [] for server in servers}
    for server in servers:
        wrk.run(folder, server.port, server.key, calls.small(), 1, 1)
    for _ in range(rounds):
        for server in servers:
            found[server.name].append(wrk.run(folder, server.port, server.key, calls.small(), seconds, 1))
    return [
        Latency(
            name,
            statistics.median(one.p50 for one in runs),
            statistics.median(one.p99 for one in runs),
            sum(one.failed for one in runs),
        )
        for name, runs in found.items()
    ]
