"""A disk that fails when told to and remembers what was done to it: disk.c, compiled and preloaded into a process."""

import contextlib
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HEAD = struct.Struct("<BBQI")
_SECTOR = 512
FILES = ("tollkeeper.db", "tollkeeper.db-wal")


def compiled(folder: Path) -> Path | None:
    """The library to preload; None where there is no compiler, or no Linux."""
    compiler = shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        return None
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class Disk:
    """The disk of one process, which is started with `environment`."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._orders = folder / "orders"
        self.log = folder / "disk.log"
        self.environment = {
            "LD_PRELOAD": str(library),
            "DISK_ORDERS": str(self._orders),
            "DISK_LOG": str(self.log),
        }

    def fail(self, what: str) -> None:
        """From now on: `sync`, `write`, or `once` for the next sync only."""
        fresh = self._orders.with_suffix(".new")
        fresh.write_text(what, "ascii")
        os.replace(fresh, self._orders)

    def work(self) -> None:
        """No failures any more."""
        self._orders.unlink()


def acknowledge(log: int, name: str) -> None:
    """Appends to the disk's log, open at `log`, that somebody relies on what `name` stands for."""
    os.write(log, _HEAD.pack(ord("a"), 0, 0, len(name)) + name.encode("ascii"))


class History:
    """What was done to a disk, in order: (what, file, place, data)."""

    def __init__(self, log: Path) -> None:
        self.records = list(_records(log.read_bytes()))

    def after_power_loss(self, cut: int, draw: random.Random, home: Path) -> set[str]:
        """Files as they may be if the power fails after so many records, and what had been acknowledged until then.

        What a sync that succeeded began after is there. Of all else, any part may be, in any order, torn between sectors.
        """
        done = self.records[:cut]
        begun = {place: index for index, (what, _, place, _) in enumerate(done) if what == "b"}
        safe = [-1, -1]
        for what, file, place, _ in done:
            if what == "s":
                safe[file] = max(safe[file], begun[place])
        contents = [bytearray(), bytearray()]
        for index, (what, file, place, data) in enumerate(done):
            if what not in "wt":
                continue
            if index > safe[file]:
                fate = draw.random()
                if fate < 0.4:
                    continue
                if fate < 0.6 and what == "w":
                    first = draw.randrange(0, len(data), _SECTOR)
                    place, data = place + first, data[first : first + _SECTOR * draw.randrange(1, 9)]
            content = contents[file]
            end = place + len(data)
            if what == "t":
                del content[place:]
            if len(content) < end:
                content.extend(bytes(end - len(content)))
            if what == "w":
                content[place:end] = data
        home.mkdir(mode=0o700)
        for name, content in zip(FILES, contents, strict=True):
            if content:
                (home / name).write_bytes(content)
        return {data.decode("ascii") for what, _, _, data in done if what == "a"}


def _records(log: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    at = 0
    while at < len(log):
        what, file, place, length = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        yield chr(what), file, place, log[at : at + length]
        at += length


def _options() -> list[tuple[str]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as library:
        return library.execute("PRAGMA compile_options").fetchall()


needs_to_know_where = pytest.mark.skipif(
    ("ENABLE_DBSTAT_VTAB",) not in _options(),
    reason="this SQLite does not tell where its tables are",
)


def break_table(home: Path, table: str) -> None:
    """Makes the first leaf page of a table of a store, whose log is empty, unreadable."""
    file = home / FILES[0]
    with contextlib.closing(sqlite3.connect(file)) as reader:
        [(number,), *_] = reader.execute("SELECT pageno - 1 FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,))
    content = bytearray(file.read_bytes())
    content[number * 4096 : number * 4096 + 200] = b"\xff" * 200
    file.write_bytes(content)
