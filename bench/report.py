"""What was measured, as tables to read or as one JSON document."""

import msgspec
from msgspec import Struct

from bench import routing, translation
from bench.latency import Latency
from bench.memory import Memory
from bench.rounds import Line
from bench.startup import Install


class Report(Struct):
    """All that one run has measured; what was not asked for is empty."""

    about: dict[str, str]
    lines: list[Line] = []
    latency: list[Latency] = []
    slow: list[Latency] = []
    memory: list[Memory] = []
    translated: list[translation.Pair] = []
    routing: dict[str, float] = {}
    start_seconds: float | None = None
    install: Install | None = None

    @property
    def failed(self) -> int:
        """Calls that were not answered well, and streams that were not whole: with any, a figure means little."""
        counts = [line.failed for line in self.lines]
        counts += [line.failed for line in (*self.latency, *self.slow)]
        counts += [line.failed for line in self.memory]
        return sum(counts)


def as_json(report: Report) -> str:
    """One document."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def as_text(report: Report) -> str:
    """Tables."""
    parts = ["\n".join(f"{name}: {value}" for name, value in report.about.items())]
    for workload in dict.fromkeys(line.workload for line in report.lines):
        rows = [f"{workload:52} {'CPU each':>10} {'x first':>8} {'a second':>9} {'cores':>6} {'events/chunk':>13}"]
        for line in report.lines:
            if line.workload == workload:
                row = f"  {line.server:50} {line.micros:>7,.1f} µs {line.ratio:>8.2f} {line.rate:>9,.0f} {line.cores:>6.2f}"
                rows.append(f"{row} {line.lump:>13.2f}{_failed(line.failed)}")
        parts.append("\n".join(rows))
    if report.latency:
        parts.append(_latency(report.latency))
    if report.slow:
        parts.append(_latency(report.slow))
    if report.memory:
        rows = [f"{'resident memory, MB':52} {'idle':>10} {'1,000 open':>12} {'after':>8} {'KB a stream':>13}"]
        for found in report.memory:
            sizes = f"{found.idle / 1024:>10.1f} {found.open / 1024:>12.1f} {found.after / 1024:>8.1f}"
            rows.append(f"  {found.server:50} {sizes} {found.each:>13.1f}{_failed(found.failed)}")
        parts.append("\n".join(rows))
    if report.translated:
        parts.append(translation.table(report.translated))
    if report.routing:
        parts.append(routing.table(report.routing))
    if report.start_seconds is not None:
        parts.append(f"start to first answered call: {report.start_seconds:.2f} s")
    if report.install is not None:
        parts.append(f"default install: {report.install.packages} packages, {report.install.megabytes:.1f} MB")
    return "\n\n".join(parts)


def _latency(found: list[Latency]) -> str:
    rows = [f"{'one small JSON call at a time':52} {'p50':>10} {'p99':>11} {'p50 added':>12} {'p99 added':>12}"]
    direct = found[0]
    for one in found:
        added = f"{one.p50 - direct.p50:>9,.0f} µs {one.p99 - direct.p99:>9,.0f} µs"
        rows.append(f"  {one.server:50} {one.p50:>7,.0f} µs {one.p99:>8,.0f} µs {added}{_failed(one.failed)}")
    if {"nginx", "tollkeeper"} <= {one.server for one in found}:
        nginx, gate = (next(one for one in found if one.server == name) for name in ("nginx", "tollkeeper"))
        added = f"{gate.p50 - nginx.p50:,.0f} µs at p50, {gate.p99 - nginx.p99:,.0f} µs at p99"
        rows.append(f"  the gate beside nginx: {added} more")
    return "\n".join(rows)


def _failed(count: int) -> str:
    return f"  FAILED: {count:,}" if count else ""
