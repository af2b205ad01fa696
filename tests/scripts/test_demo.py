"""scripts/demo shows what it says it shows, what it prints can be pasted, and it leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent.parent / "scripts" / "demo"
ANSWER = "You said: Say hello to whoever is watching. This is Tollkeeper's demo model speaking"


@pytest.fixture(scope="module", autouse=True)
def _set_up() -> None:
    """What setup says when it has something to do is not the demo's."""
    subprocess.run([DEMO.with_name("setup")], check=True, capture_output=True)


def test_once_it_shows_the_words_and_what_they_cost_and_ends(tmp_path: Path) -> None:
    done = subprocess.run([DEMO, "--once"], capture_output=True, text=True, env=environment(tmp_path), timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
    assert ANSWER in " ".join(done.stdout.split())
    assert re.search(r"^  key +requests +input +output +USD\n  demo +1 +6 +24 +0\.0000153$", done.stdout, re.MULTILINE)
    assert re.search(r"^  tokens +6 in, 24 out, as reported by the provider$", done.stdout, re.MULTILINE)
    assert all(len(line) <= 100 for line in done.stdout.splitlines() if not line.startswith(("curl", "/")))
    assert_nothing_is_left(tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_words_arrive_one_by_one_what_is_printed_can_be_pasted_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        before = read_until(demo, "  demo   ")
        began = time.monotonic()
        read_until(demo, "You said:")
        first = time.monotonic() - began
        read_until(demo, "What it used")
        last = time.monotonic() - began

        shown = before + read_until(demo, "Calls show up here:")
        [curl] = re.findall(r"^curl .*$", shown, re.MULTILINE)
        [usage] = re.findall(r"^.*tollkeeper usage --home .*$", shown, re.MULTILINE)

        chat = pasted(curl)
        logged = read_until(demo, "in=1 out=19")
        used = pasted(f"{usage} --json")
        demo.send_signal(signal.SIGINT)
        code = demo.wait(20)

    assert "You said" not in before
    assert last - first > 0.3, "24 words at 30 ms each"
    assert chat.returncode == 0
    assert chat.stdout.endswith("data: [DONE]\n\n")
    assert '"content":" Hello."' in chat.stdout
    assert "in=6 out=24" not in logged, "its own chat has been shown already"
    assert '"requests": 2' in used.stdout
    assert code == 0
    assert_nothing_is_left(tmp_path)


def test_ctrl_c_in_the_middle_of_the_chat_ends_it_too(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        read_until(demo, "You said:")
        demo.send_signal(signal.SIGINT)
        assert demo.stdout is not None
        rest = demo.stdout.read().decode()
        code = demo.wait(20)

    assert code == 128 + signal.SIGINT
    assert "Traceback" not in rest
    assert_nothing_is_left(tmp_path)


def test_a_setup_that_fails_is_explained(tmp_path: Path) -> None:
    surroundings = {**environment(tmp_path), "PYTHON": "no-such-python"}

    done = subprocess.run([DEMO], capture_output=True, text=True, env=surroundings, timeout=60)

    assert done.returncode == 1
    assert "no-such-python" in done.stderr
    assert "scripts/setup failed" in done.stderr


def environment(folder: Path) -> dict[str, str]:
    """What the demo runs in: its temporary files go to `folder`."""
    return {**os.environ, "TMPDIR": str(folder), "COLUMNS": "80"}


@contextmanager
def running_demo(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The demo, serving on; what it says and what it complains about come out of one pipe."""
    demo = subprocess.Popen([DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(folder))
    with demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.wait(20)


def read_until(demo: "subprocess.Popen[bytes]", mark: str) -> str:
    """What the demo says, up to `mark` and no further."""
    assert demo.stdout is not None
    said = b""
    while not said.endswith(mark.encode()):
        byte = os.read(demo.stdout.fileno(), 1)
        assert byte, f"it ended before {mark!r}: {said.decode()}"
        said += byte
    return said.decode()


def pasted(line: str) -> "subprocess.CompletedProcess[str]":
    """Runs a line as somebody would who pastes it into a terminal, in whatever folder that is."""
    return subprocess.run(["bash", "-c", line], cwd="/", capture_output=True, text=True, timeout=30)


def assert_nothing_is_left(folder: Path) -> None:
    """Neither files nor processes."""
    processes = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert list(folder.iterdir()) == []
    assert str(folder) not in processes
