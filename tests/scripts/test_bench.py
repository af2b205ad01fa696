"""The measurements below bench/ that no other test runs still fit what they measure; their figures mean nothing here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_measurement_of_usage_makes_its_ledger_and_asks_it_every_question() -> None:
    measured = subprocess.run(
        [sys.executable, "-m", "bench.usage", "--events", "2000", "--days", "20", "--keys", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert measured.returncode == 0, measured.stderr
    assert "2,000 events in 20 days" in measured.stdout
    assert "usage --by key      of all time        5 rows" in measured.stdout
    assert "usage --by day      of all time       20 rows" in measured.stdout
