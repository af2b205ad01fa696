"""The power fails: whatever the disk had not synced is lost, torn or there; what was acknowledged is there, once."""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kit.disks import Disk, History, compiled
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.recovery import recover
from tollkeeper.stores.sqlite.reports import Reports

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """600 calls, with sums and checkpoints between them."""
    folder = tmp_path_factory.mktemp("disk")
    library = compiled(folder)
    if library is None:
        pytest.skip("no gcc, or not Linux")
    disk = Disk(library, folder)
    home = folder / "home"
    home.mkdir()
    subprocess.run(
        [sys.executable, TESTS / "stores" / "writing.py", home, "600", "1"],
        env={
            **os.environ,
            **disk.environment,
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        },
        check=True,
        timeout=60,
    )
    return History(disk.log)


@pytest.mark.row(64)
@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_survives_any_loss_of_what_was_not_synced(
    history: History, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    first = next(index for index, record in enumerate(history.records) if record[0] == "a")
    for number in range(25):
        home = tmp_path / str(number)
        relied_on = history.after_power_loss(draw.randrange(first, len(history.records) + 1), draw, home)
        with contextlib.closing(database.connect(home)) as found:
            assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            holds = {row[0] for row in found.execute("SELECT request_id FROM holds")}
            events = {row[0] for row in found.execute("SELECT request_id FROM events")}
            summed = found.execute(
                "SELECT (SELECT coalesce(sum(attempts), 0) FROM sums WHERE of = 0 AND span = 'day') + (SELECT count(*)"
                " FROM fresh)"
            ).fetchone()

        assert relied_on <= holds | events
        assert not holds & events
        assert summed == (len(events),)
        assert recover(home, lambda hold: None, 0) == len(holds)
        reports = Reports(home)
        assert reports.totals()[0] == len(holds | events)
        assert reports.open_holds() == 0
        reports.close()


@pytest.mark.row(64)
def test_the_simulation_loses_what_is_not_synced(history: History, tmp_path: Path) -> None:
    """Were it not so, the test above could not fail: without the syncs, acknowledged holds are gone."""
    unsynced = History.__new__(History)
    unsynced.records = [record for record in history.records if record[0] not in "bs"]
    draw = random.Random(1)
    lost = 0
    for number in range(5):
        home = tmp_path / str(number)
        relied_on = unsynced.after_power_loss(len(unsynced.records), draw, home)
        try:
            with contextlib.closing(sqlite3.connect(home / database.FILE)) as found:
                names = "SELECT request_id FROM holds UNION SELECT request_id FROM events"
                lost += not relied_on <= {row[0] for row in found.execute(names)}
        except sqlite3.DatabaseError:
            lost += 1

    assert lost == 5
