"""`tollkeeper new`: what it writes runs as written, tests and all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.terminal import tollkeeper
from tollkeeper import config


def test_a_projects_own_tests_pass_as_written(tmp_path: Path) -> None:
    done = tollkeeper("new", "my-notes", folder=tmp_path)
    assert done.code == 0, done.error
    project = tmp_path / "my-notes"

    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "11 passed" in ran.stdout
    loaded = config.load(project / "tollkeeper.toml", {}, demo=True)
    assert list(loaded.config.apis) == ["my-notes", "my-notes-stream"]


def test_its_files_say_what_they_are_for_and_are_told(tmp_path: Path) -> None:
    done = tollkeeper("new", "notes", "--json", folder=tmp_path)

    told = done.json()
    assert told["folder"] == "notes"
    for name in told["files"]:
        text = (tmp_path / name).read_text("utf-8")
        assert "{" + "{" not in text
        if name.endswith(".py"):
            assert text.startswith('"""')
            assert max(map(len, text.splitlines())) <= 130


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")

    done = tollkeeper("new", "notes", folder=tmp_path)

    assert done.code != 0
    assert "already" in done.error
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["../up", "A", "1st", "a b", "", "x" * 50])
def test_a_name_that_could_be_no_module_is_refused(name: str, tmp_path: Path) -> None:
    done = tollkeeper("new", name, folder=tmp_path)

    assert done.code != 0
    assert "no name for a project" in done.error
    assert list(tmp_path.iterdir()) == []
