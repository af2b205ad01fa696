"""One gate to a home: the second is refused, and however the first ends, its place is free."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite.sole import sole

HOLD = """
import sys, time
from pathlib import Path
from tollkeeper.stores.sqlite.sole import sole
with sole(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_lets_go(home: Path) -> None:
    with (
        sole(home),
        pytest.raises(GateError, match=rf"Another gate or bulk job \(process {os.getpid()}\) has {home} open"),
        sole(home),
    ):
        pass
    with sole(home):
        assert home.stat().st_mode & 0o777 == 0o700
        assert (home / "gate.lock").stat().st_mode & 0o777 == 0o600


def test_a_holder_that_was_killed_leaves_the_home_free(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, home], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(GateError, match=f"process {holder.pid}"), sole(home):
            pass
        holder.kill()
    with sole(home):
        assert (home / "gate.lock").read_text("ascii") == f"{os.getpid()}\n"


def test_homes_do_not_mind_each_other(tmp_path: Path) -> None:
    with sole(tmp_path / "a"), sole(tmp_path / "b" / "c"):
        assert (tmp_path / "b" / "c").is_dir()


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_what_cannot_be_a_home_is_said(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("x", "utf-8")

    with pytest.raises(GateError, match="cannot be a home"), sole(tmp_path / where):
        pass
