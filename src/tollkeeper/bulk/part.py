"""The part of an output that is ready while its job runs: JSON lines beside it, from the first row up to the first gap."""

from pathlib import Path

from tollkeeper.bulk.journal import Journal

EVERY = 1.0
"""Seconds between two looks."""
_MOST = 20_000
"""Rows that are added at one look."""
_AT_ONCE = 2000
"""Rows that are in memory, at most."""


class Part:
    """One job's. Everything in it blocks; a thread may call `grow`, one at a time."""

    def __init__(self, path: Path, *, anew: bool) -> None:
        self._path = path
        self._stream = path.open("w+b" if anew or not path.exists() else "r+b")
        self.rows = 0
        """How many it has."""
        end = 0
        if not anew:
            for line in self._stream:
                if not line.endswith(b"\n"):
                    break
                self.rows += 1
                end += len(line)
        self._stream.seek(end)
        self._stream.truncate()

    def grow(self, journal: Journal) -> None:
        """Adds the rows that have ended, in order, until one has not."""
        last = self.rows + _MOST
        while self.rows < last:
            rows, lines = journal.unbroken(self.rows, _AT_ONCE)
            if not rows:
                break
            self._stream.write(lines)
            self.rows += rows
        self._stream.flush()

    def close(self, *, whole: bool) -> None:
        """Takes the file away where the output itself is there now."""
        self._stream.close()
        if whole or not self.rows:
            self._path.unlink(missing_ok=True)
