"""The store's file: what must be so on disk before anyone relies on it, and what is refused in clear words."""

import contextlib
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest

from kit.records import event
from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.stores.sqlite.rollups import roll_up
from tollkeeper.stores.sqlite.rows import EVENT_COLUMNS, row_of

COME_AND_GO = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
print(store.execute("SELECT count(*) FROM charged").fetchone()[0])
store.close()
"""


def _set_version(home: Path, version: int) -> None:
    home.mkdir()
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db")) as made:
        made.execute(f"PRAGMA user_version = {version}")


@pytest.fixture
def home(home: Path) -> Path:
    home.mkdir()
    return home


def test_commits_are_synced_to_a_write_ahead_log(home: Path) -> None:
    with contextlib.closing(database.connect(home)) as made:
        assert made.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert made.execute("PRAGMA synchronous").fetchone() == (2,)
        assert made.isolation_level is None


def test_every_file_of_the_store_is_its_owners_only(home: Path) -> None:
    with contextlib.closing(database.connect(home)):
        modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}

    assert modes == dict.fromkeys(("tollkeeper.db", "tollkeeper.db-wal", "tollkeeper.db-shm"), 0o600)


def test_a_connection_that_is_opened_later_does_not_end_the_locks_of_those_before(home: Path) -> None:
    with contextlib.closing(database.connect(home)) as first:
        database.connect(home).close()
        for count in (1, 2):
            first.execute("INSERT INTO charged VALUES ('up', ?)", (str(count),))
            visitor = [sys.executable, "-c", COME_AND_GO, home / "tollkeeper.db"]
            seen = subprocess.run(visitor, capture_output=True, check=True)

            assert int(seen.stdout) == count
            assert (home / "tollkeeper.db-wal").exists()


def test_many_who_come_first_make_the_tables_once(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: database.connect(home), range(8)))

    assert {one.execute("PRAGMA user_version").fetchone()[0] for one in made} == {database.VERSION}
    for one in made:
        one.close()


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_store_is_refused_in_clear_words_and_left_as_it_is(tmp_path: Path, create: bool) -> None:
    home = tmp_path / "newer"
    _set_version(home, database.VERSION + 1)

    with pytest.raises(GateError) as refused:
        database.connect(home, create=create)

    assert f"of version {database.VERSION + 1}, newer than this Tollkeeper ({database.VERSION})" in str(refused.value)
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db")) as after:
        assert after.execute("PRAGMA user_version").fetchone() == (database.VERSION + 1,)
        assert after.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(home: Path, create: bool) -> None:
    (home / "tollkeeper.db").write_text("this is not a database " * 100, "utf-8")

    with pytest.raises(GateError, match=r"tollkeeper\.db: file is not a database"):
        database.connect(home, create=create)
    assert (home / "tollkeeper.db").read_text("utf-8") == "this is not a database " * 100


@pytest.mark.parametrize("what", ["no folder", "a folder in its place"])
def test_a_file_that_cannot_be_made_is_refused_by_name(tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    if what == "a folder in its place":
        (home / "tollkeeper.db").mkdir(parents=True)

    with pytest.raises(GateError, match=r"tollkeeper\.db"):
        database.connect(home)


def test_a_store_that_need_not_be_there_is_not_made(home: Path) -> None:
    with pytest.raises(GateError, match="Start the gate once"):
        database.connect(home, create=False)
    assert list(home.iterdir()) == []


def test_another_process_that_writes_is_waited_for(home: Path) -> None:
    with contextlib.closing(database.connect(home)) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("BEGIN IMMEDIATE")
        with contextlib.closing(database.connect(home, wait=5)) as waiter:
            writing = pool.submit(waiter.execute, "INSERT INTO charged VALUES ('up', '1')")
            with pytest.raises(TimeoutError):
                writing.result(0.2)
            holder.execute("COMMIT")
            writing.result(5)


@pytest.mark.parametrize(("version", "columns"), [(1, 31), (3, 34), (5, 36)])
def test_a_store_of_an_older_version_is_carried_over_with_its_events_and_sums(
    home: Path, version: int, columns: int
) -> None:
    folder = resources.files("tollkeeper.stores.sqlite")
    old = event(held_nano=None, saved_nano=0, trace=None)
    named = zip(EVENT_COLUMNS.split(", "), row_of(old), strict=True)
    added_later = ("cache_write_1h_tokens", "web_searches")
    row = [*(value for name, value in named if name not in added_later), 0, 0][:columns]
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", isolation_level=None)) as made:
        for number in range(1, version + 1):
            made.executescript(folder.joinpath(f"schema_{number}.sql").read_text("utf-8"))
        made.execute(f"INSERT INTO events VALUES ({', '.join('?' * columns)})", row)
        made.execute(f"PRAGMA user_version = {version}")

    database.connect(home).close()

    reports = Reports(home)
    assert reports.events() == [old]
    assert [used.requests for used in reports.usage("key")] == [1]
    with contextlib.closing(database.connect(home)) as writer:
        assert roll_up(writer, 10) == 1
    assert [used.requests for used in reports.usage("key")] == [1]
    reports.close()


ADAPTED = """
import sqlite3, sys
from pathlib import Path
from types import NoneType

sqlite3.register_adapter(NoneType, lambda null: "nothing")
sqlite3.register_adapter(bool, lambda truth: "yes" if truth else "no")
before = dict(sqlite3.adapters)

from kit.records import event
from tollkeeper.stores.sqlite import database, rows
from tollkeeper.stores.sqlite.reports import Reports

given = event(owner=None, trace=None, cost_nano=None, streamed=True)
writer = database.connect(Path(sys.argv[1]))
rows.put(writer, [], [given])
writer.close()
[found] = Reports(Path(sys.argv[1])).events()
assert found == given, found
assert sqlite3.adapters == before
"""


def test_what_a_program_has_told_the_sqlite_module_of_its_values_stays_and_changes_no_event(home: Path) -> None:
    tests = Path(__file__).parents[1]

    done = subprocess.run(
        [sys.executable, "-c", ADAPTED, str(home)], cwd=tests, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
