"""A copy is to its test what a process of its own would be, and to other copies a stranger."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kit.copies import Copy, run, start
from kit.terminal import NOBODYS_HOME
from kit.vitals import becomes

SURROUNDINGS = {**os.environ, "HOME": str(NOBODYS_HOME), "SEEN": "by the copy", "TZ": "Asia/Tokyo"}
FACTS = """
import json, os, pathlib, resource, signal, subprocess, sys, time
handlers = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
print(json.dumps({
    "environment": dict(os.environ),
    "of a child": subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.count("SEEN=by the copy"),
    "folder": os.getcwd(),
    "paths": sys.path,
    "files": sorted(os.listdir("/proc/self/fd")),
    "limit of files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "mask": os.umask(0),
    "time zone": time.tzname,
    "handlers": handlers,
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "own modules": "spy" in sys.modules and not hasattr(sys, "touched"),
}))
"""
FOR_EVER = "import signal\nprint('here', flush=True)\nwhile True: signal.pause()"
CONFIG = '[apis.spy]\nfunction = "spy:tell"\n'
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no copies on this system")


@pytest.fixture
def does(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder in which `tollkeeper check` does what it is given: it imports the functions of a config."""

    def folder(what: str) -> Path:
        made = tmp_path / f"folder{len(list(tmp_path.iterdir()))}"
        made.mkdir()
        (made / "tollkeeper.toml").write_text(CONFIG, "utf-8")
        (made / "spy.py").write_text(f"{what}\n\n\ndef tell() -> str:\n    return ''\n", "utf-8")
        return made

    return folder


@pytest.fixture
def lasting(does: Callable[[str], Path]) -> Iterator[Callable[[], Any]]:
    """Starts a copy that has said that it is there and does not end by itself."""
    started: list[Any] = []

    def one() -> Any:
        process = start("check", folder=does(FOR_EVER), environment=SURROUNDINGS)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        return process

    yield one
    for process in started:
        process.kill()
        process.communicate(timeout=60)


def _facts(folder: Path) -> dict[str, Any]:
    done = run("check", folder=folder, environment=SURROUNDINGS)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def test_a_copy_has_the_surroundings_of_a_process_of_its_own_whatever_other_copies_do(
    does: Callable[[str], Path], lasting: Callable[[], Any]
) -> None:
    folder = does(FACTS)
    command = [sys.executable, "-m", "tollkeeper", "check"]
    own = subprocess.run(command, cwd=folder, env=SURROUNDINGS, input=b"", capture_output=True, check=True)
    expected = json.loads(own.stdout.splitlines()[0])
    lasting()
    disturbing = (
        "import os, signal, sys\nos.environ['TOUCHED'] = '1'\nos.umask(0o777)\nos.chdir('/')\nsys.touched = True\n"
        "sys.path.clear()\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.dup(1)\nos._exit(0)"
    )
    assert run("check", folder=does(disturbing), environment=SURROUNDINGS).returncode == 0

    assert _facts(folder) == expected
    assert expected["environment"]["SEEN"] == "by the copy"
    assert expected["of a child"] == 1


def test_what_it_is_given_to_read_and_what_it_writes_and_complains_of_are_kept_apart(
    does: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = does(
        "import os, sys\nsys.stdout.write('o' * 1_000_000)\nsys.stderr.write('e' * 1_000_000)\n"
        "sys.stdout.write(sys.stdin.read())\nsys.stdout.flush()\nsys.stderr.flush()\nos._exit(7)"
    )
    given = b"i" * 1_000_000

    done = run("check", folder=folder, environment=SURROUNDINGS, input=given)
    with (tmp_path / "log").open("wb") as log:
        other = start("check", folder=folder, environment=SURROUNDINGS, stderr=log)
        out, nothing = other.communicate(timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (7, b"o" * 1_000_000 + given, b"e" * 1_000_000)
    assert (other.returncode, out, nothing) == (7, b"o" * 1_000_000, b"")
    assert (tmp_path / "log").read_bytes() == b"e" * 1_000_000


def test_it_ends_as_any_process_does_and_everybody_who_waits_is_told(lasting: Callable[[], Any]) -> None:
    process = lasting()
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)

    with ThreadPoolExecutor(4) as threads:
        told = [threads.submit(process.wait, 30) for _ in range(4)]
        process.terminate()
        assert [waiting.result() for waiting in told] == [-15] * 4
    process.kill()  # nobody is there any more, and nobody else is hit

    assert (process.poll(), process.returncode) == (-15, -15)


def test_the_end_of_one_is_the_end_of_what_it_writes_though_another_goes_on(lasting: Callable[[], Any]) -> None:
    first, second = lasting(), lasting()

    first.kill()

    assert first.communicate(timeout=60) == (b"", b"")
    assert (first.returncode, second.poll()) == (-9, None)


def test_one_that_cannot_begin_says_why_and_the_next_one_begins(does: Callable[[str], Path], tmp_path: Path) -> None:
    broken = run("check", folder=tmp_path / "nowhere", environment=SURROUNDINGS)

    assert broken.returncode == 1
    assert b"No such file or directory" in broken.stderr
    assert b"nowhere" in broken.stderr
    assert run("version", folder=tmp_path, environment=SURROUNDINGS).returncode == 0


def test_one_that_takes_too_long_is_killed(does: Callable[[str], Path]) -> None:
    folder = does("import os, pathlib\npathlib.Path('pid').write_text(str(os.getpid()))\n" + FOR_EVER)

    with pytest.raises(subprocess.TimeoutExpired):
        run("check", folder=folder, environment=SURROUNDINGS, timeout=1)

    pid = folder / "pid"
    written = pid.read_text() if pid.exists() else ""  # on a machine that stalls it may never have come so far
    assert not written or becomes(lambda: not Path("/proc", written).exists())


def test_what_an_interpreter_reads_when_it_starts_is_for_a_process_of_its_own(tmp_path: Path) -> None:
    process = start("version", folder=tmp_path, environment={**SURROUNDINGS, "LC_ALL": "POSIX"})

    assert not isinstance(process, Copy)
    assert process.communicate(timeout=60)[0].strip()
    assert process.returncode == 0


def test_who_is_killed_leaves_nothing_behind_that_makes_copies(does: Callable[[str], Path]) -> None:
    folder = does("import os\nprint(os.getppid())")
    program = f"""
import os, pathlib
from kit.copies import run
done = run("check", folder=pathlib.Path({str(folder)!r}), environment=os.environ)
print(done.stdout.decode().splitlines()[0], flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, timeout=60, check=False
    )

    assert done.returncode == -9, done.stderr
    made = Path("/proc", done.stdout.decode().strip())
    assert made.name
    assert becomes(lambda: not made.exists())
