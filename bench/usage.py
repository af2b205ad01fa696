"""How long questions take on a ledger with many events: `python -m bench.usage --events 10000000`.

Makes a store in a folder that is thrown away (10 million events: 4 GB, some minutes), then asks each question a few times.
"""

import argparse
import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path

from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import damage, database, recovery
from tollkeeper.stores.sqlite.reports import GROUPS, Reports
from tollkeeper.stores.sqlite.rollups import roll_up
from tollkeeper.stores.sqlite.writer import Writer

NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z, when the newest event began."""
DAY = 86_400_000
CHUNK = 100_000
MAKE = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last),
drawn AS MATERIALIZED (SELECT i, abs(random()) AS r, :begin + i * :step AS at FROM n),
asked AS MATERIALIZED (SELECT i, r, at, r % :keys AS k, (r % :keys + r / 1000 % :models) % 12 AS m FROM drawn)
INSERT INTO events (
    request_id, attempt, started_at, key_id, owner, team,
    operation, dialect, model_asked, provider, model, model_used, streamed, outcome, status,
    quality, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
    cache_write_tokens, audio_input_tokens, cached_audio_input_tokens, audio_output_tokens, cost_nano, price_version,
    usage_raw, first_byte_ms, duration_ms, overhead_ms)
SELECT printf('%012x7%019x', at, i), 1, at, 'key_' || k, 'owner-' || (k % 40), 'team-' || (k % 8),
       'chat', 'openai_chat', 'model-' || m, 'provider-' || (m % 3), 'm', 'm-2026', r & 1, 'ok', 200,
       'reported', r % 4000, r % 500, r % 900, r % 300, 0, 0, 0, 0, r % 90000000, 'config',
       '{"prompt_tokens":1234,"completion_tokens":123,"total_tokens":1357}', 120.5, 900.25, 0.5
FROM asked
"""
NOTE = """
INSERT INTO unsummed (attempts)
SELECT json_group_array(json_array(request_id, attempt)) FROM events WHERE request_id >= ?
"""


def main() -> None:
    """Runs from the command line."""
    options = argparse.ArgumentParser(prog="python -m bench.usage", description=__doc__)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--days", type=int, default=400, help="that they are spread over [default: 400]")
    options.add_argument("--keys", type=int, default=500)
    options.add_argument("--models", type=int, default=3, help="of 12, that each key asks [default: 3]")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-") as folder:
        home = Path(folder)
        make(home, given.events, given.days, given.keys, given.models)
        ask(home, given.days)


def make(home: Path, events: int, days: int, keys: int, models: int) -> None:
    """A store with so many events, summed as upkeep would have."""
    writer = Writer(home)
    step = days * DAY // events
    summing = 0.0
    begun = time.perf_counter()
    for first in range(0, events, CHUNK):
        last = min(events, first + CHUNK)
        shape = {"begin": NOW - events * step, "step": step, "keys": keys, "models": models}
        writer.database.execute(MAKE, {"first": first, "last": last, **shape})
        writer.database.execute(NOTE, (f"{NOW - events * step + first * step:012x}",))
        at = time.perf_counter()
        roll_up(writer.database, CHUNK)
        summing += time.perf_counter() - at
        writer.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    [(sums,)] = writer.database.execute("SELECT count(*) FROM sums")
    writer.close()
    size = (home / database.FILE).stat().st_size
    print(
        f"{events:,} events in {days} days, {sums:,} sums, {size / 1e9:.1f} GB, in {time.perf_counter() - begun:.0f} s"
    )
    print(f"summing up took {summing / events * 1e6:.1f} µs an event, in steps of {CHUNK:,}")


def ask(home: Path, days: int) -> None:
    """Each question, five times; the first and the quickest time of each."""
    at = time.perf_counter()
    damage.mend(home, time.time)
    looked = time.perf_counter()
    recovery.recover(home, lambda hold: None, int(time.time() * 1000))
    print(f"at the start: {looked - at:.3f} s to look for damage, {time.perf_counter() - looked:.3f} s to recover")
    ever = (None, None)
    odd = (NOW - (days - 3) * DAY + 1_234_567, NOW - 2 * DAY + 7_654_321)
    last = (NOW - 30 * DAY, None)
    for words, (since, until) in {"of all time": ever, "of odd moments": odd, "of 30 days": last}.items():
        for by in GROUPS:
            took = []
            for _ in range(5):
                with contextlib.closing(Reports(home)) as reports:
                    at = time.perf_counter()
                    rows = reports.usage(by, since, until)
                    took.append(time.perf_counter() - at)
            print(f"usage --by {by:8} {words:14} {len(rows):5} rows  first {took[0]:.3f} s, quickest {min(took):.3f} s")
    with contextlib.closing(sqlite3.connect(home / database.FILE)) as reader:
        at = time.perf_counter()
        reader.execute(f"SELECT key_id, sum({Usage.__struct_fields__[0]}) FROM events GROUP BY 1").fetchall()
        print(f"the same from the events themselves: {time.perf_counter() - at:.1f} s")


if __name__ == "__main__":
    main()
