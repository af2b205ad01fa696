"""Shows how a job goes: a live display in a terminal, a plain line now and then without one, JSON lines when asked."""

import os
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import msgspec

from tollkeeper.bulk.concurrency import Concurrency
from tollkeeper.bulk.ending import Counts
from tollkeeper.core.money import usd_from_nano

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

EVERY = 0.5
"""Seconds between two looks; a display costs the job well under a hundredth of its time."""
_PLAIN_EVERY = 10.0
_RATE_OVER = 20.0


class Running(Protocol):
    """A job under way."""

    @property
    def counts(self) -> Counts: ...

    @property
    def under_way(self) -> int: ...

    @property
    def concurrency(self) -> Concurrency | None:
        """None where a provider decides it."""
        ...


class Progress:
    """One job's. `total` is how many rows there are, None while nobody knows."""

    def __init__(self, running: Running, begun_before: int, total: int | None, *, json: bool, stream: TextIO) -> None:
        self.total = total
        self._running = running
        self._before = begun_before
        self._json = json
        self._stream = stream
        self._begun = time.monotonic()
        self._seen: deque[tuple[float, int, int]] = deque([(self._begun, 0, 0)])
        self._live = None if json else _live(stream)
        self._said = self._begun

    def look(self) -> None:
        """Called every `EVERY` seconds. Where nobody reads any more, it falls silent: the job goes on."""
        with suppress(OSError):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        counts = self._running.counts
        self._seen.append((now, counts.well + counts.failed, counts.tokens))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_OVER:
            self._seen.popleft()
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif self._json:
            self._stream.write(msgspec.json.encode({"event": "progress", **self.facts()}).decode() + "\n")
            self._stream.flush()
        elif now - self._said >= _PLAIN_EVERY:
            self._said = now
            self._stream.write(self.line() + "\n")
            self._stream.flush()

    def end(self) -> None:
        """The last look."""
        self.look()
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def facts(self) -> dict[str, Any]:
        """What is known now, for machines. Rates are of the last twenty seconds."""
        counts, running = self._running.counts, self._running
        then, rows_then, tokens_then = self._seen[0]
        seconds = max(time.monotonic() - then, 1e-6)
        rows = counts.well + counts.failed
        rate = (rows - rows_then) / seconds
        done = self._before + rows
        left = None if self.total is None else max(0, self.total - done)
        per_row = counts.cost_nano / rows if rows else 0.0
        return {
            "rows": done,
            "total": self.total,
            "failed": counts.failed,
            "under_way": running.under_way,
            "concurrency": None if running.concurrency is None else running.concurrency.window,
            "attempts": counts.attempts,
            "rows_per_second": round(rate, 1),
            "tokens_per_second": round((counts.tokens - tokens_then) / seconds, 1),
            "cost_usd": usd_from_nano(counts.cost_nano),
            "cost_expected_usd": None if left is None else usd_from_nano(counts.cost_nano + round(per_row * left)),
            "seconds_left": None if left is None or rate <= 0 else round(left / rate),
            "errors": dict(counts.errors),
        }

    def line(self) -> str:
        """One line for people."""
        found = self.facts()
        total = "" if found["total"] is None else f" of {found['total']:,}"
        limit = "" if found["concurrency"] is None else " (limit {})"
        parts = [
            f"{found['rows']:,}{total} rows",
            f"{found['rows_per_second']:,.1f}/s",
            f"{found['tokens_per_second']:,.0f} tokens/s",
            f"{found['under_way']:,} under way" + limit.format(found["concurrency"]),
            f"{found['cost_usd']} USD",
        ]
        if found["seconds_left"] is not None:
            parts.append(f"{span(found['seconds_left'])} left")
        if found["failed"]:
            parts.append(f"{found['failed']:,} failed")
        return " · ".join(parts)

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        found = self.facts()
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="ellipsis", no_wrap=True)
        share = "" if not found["total"] else f"  {found['rows'] / found['total']:.0%}"
        total = "" if found["total"] is None else f" of {found['total']:,}"
        table.add_row("rows", f"{found['rows']:,}{total}{share}")
        table.add_row("rate", f"{found['rows_per_second']:,.1f} rows/s  {found['tokens_per_second']:,.0f} tokens/s")
        limit = "" if found["concurrency"] is None else f"  (limit found: {found['concurrency']})"
        table.add_row("under way", f"{found['under_way']:,}{limit}")
        expected = "" if found["cost_expected_usd"] is None else f"  (expected {found['cost_expected_usd']})"
        table.add_row("cost", f"{found['cost_usd']} USD{expected}")
        if found["seconds_left"] is not None:
            table.add_row("time left", span(found["seconds_left"]))
        if found["errors"]:
            kinds = "  ".join(f"{code} {count:,}" for code, count in self._running.counts.errors.most_common(5))
            table.add_row(Text("errors", "yellow"), f"{kinds}  ({found['failed']:,} rows failed)")
        return table


def _live(stream: TextIO) -> "Live | None":
    """A display that has begun, where there is a terminal that can show it."""
    if not stream.isatty():
        return None
    from rich.console import Console  # which most jobs have no need of: it is a tenth of what they load
    from rich.live import Live

    # https://no-color.org asks for no colour; bold and the like are as unwelcome to who sets it, and rich keeps them.
    console = Console(file=stream, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if not console.is_terminal:
        return None
    live = Live(console=console, auto_refresh=False, transient=False)
    live.start()
    return live


def span(seconds: float) -> str:
    """Seconds for people: 3 h 5 min, 2 min 10 s, 12 s."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def standard() -> TextIO:
    """Where progress goes: standard error, so that standard output stays for results."""
    return sys.stderr
