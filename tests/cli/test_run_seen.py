"""What a job says while it runs, in terminals wide and narrow, without one, to machines; and how it gives up."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from kit.jobs import Folder, after
from kit.scripted import ScriptedUpstream, json_answer
from kit.servers import free_port

JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--concurrency", "5")


def _in_a_terminal(folder: Folder, columns: int, **environment: str) -> str:
    """All that the job writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tollkeeper", "run", *JOB, "--home", str(folder.path / "home")],
        cwd=folder.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # Whoever sets COLUMNS says how wide the terminal is, whatever it says itself: a CI may.
        env={
            **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
            "TERM": "xterm-256color",
            **environment,
        },
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how a terminal ends on Linux
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(30) == 0
    return said.decode()


def _shown(said: str) -> list[str]:
    """Lines without the terminal's control sequences."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))


@pytest.mark.row(97)
@pytest.mark.parametrize(("columns", "environment"), [(80, {}), (40, {}), (80, {"NO_COLOR": "1"})])
def test_a_terminal_shows_rows_rate_cost_and_time_in_its_width(
    tmp_path: Path, columns: int, environment: dict[str, str]
) -> None:
    with ScriptedUpstream(after(0.05)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(100)
        said = _in_a_terminal(folder, columns, **environment)
        lines = _shown(said)
        for name in ("rows", "rate", "under way", "cost"):
            assert any(line.startswith(name) for line in lines), name
        assert any("100 of 100" in line for line in lines)
        assert [
            line for line in lines if len(line) > columns and not line.startswith(("out.jsonl:", "100 calls"))
        ] == []
        if environment:
            assert not re.search(r"\x1b\[[0-9;]*m", said)  # neither colours nor bold


@pytest.mark.row(97)
def test_without_a_terminal_nothing_is_drawn_and_json_is_parseable(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.05)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(60)
        code, out, err = folder.run(*JOB, "--json")
        assert code == 0
        assert json.loads(out)["answered"] == 60
        seen = [json.loads(line) for line in err.splitlines()]
        assert seen[-1]["rows"] == 60
        assert seen[-1]["total"] == 60
        code, out, err = folder.run(*JOB, "--resume")
        assert code == 0
        assert "\x1b" not in out + err


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid"], ids=["refused", "unknown"])
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "provider"])
def test_where_nobody_is_there_to_be_asked_the_job_stops_at_once_and_loses_nothing(
    tmp_path: Path, gate: bool, host: str
) -> None:
    folder = Folder(tmp_path, f"http://{host}:{free_port()}")
    folder.prompts(1000)
    through = ("--gate", f"http://{host}:{free_port()}") if gate else ()
    code, out, err = folder.run(*JOB, *through, TOLLKEEPER_KEY="tk-any")
    assert code == 5, out + err
    assert f"Stopped: {'upstream_refused' if host == '127.0.0.1' else 'upstream_unknown_host'}: " in out
    assert "1,000 rows, 0 answered, 0 failed" in out
    with ScriptedUpstream(after(0)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        assert folder.run(*JOB, "--resume")[0] == 0
        assert len(folder.rows()) == 1000


@pytest.mark.row(86)
def test_a_key_that_every_call_is_refused_with_stops_the_job_soon_and_loses_nothing(tmp_path: Path) -> None:
    refused = json_answer(401, {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}})
    with ScriptedUpstream(lambda request, connection: refused(request, connection)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1000)
        code, out, _ = folder.run(*JOB)
        assert code == 5
        assert "--resume" in out
        assert 20 <= len(upstream.requests) <= 30
        assert {row["error"]["code"] for row in folder.rows()} == {"not_run"}
        upstream.script = after(0)
        assert folder.run(*JOB, "--resume")[0] == 0
        assert all(row["error"] is None for row in folder.rows())


ANTHROPIC = """
[providers.up]
kind = "anthropic"
base_url = "{url}/v1"
api_key = "sk-ant"
[models.m]
targets = ["up/claude-none"]
price = {{ input = 1, output = 2 }}
"""


def test_a_model_that_anthropic_does_not_have_stops_the_job_soon_and_loses_nothing(tmp_path: Path) -> None:
    # https://platform.claude.com/docs/en/api/errors
    missing = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-none"}}
    with ScriptedUpstream(json_answer(404, missing)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        (tmp_path / "tollkeeper.toml").write_text(ANTHROPIC.format(url=upstream.url.removesuffix("/v1")))
        folder.prompts(1000)
        code, out, err = folder.run(*JOB)
        assert code == 5, out + err
        assert "model: claude-none" in out
        assert "1,000 rows, 0 answered, 0 failed" in out
        assert 20 <= len(upstream.requests) <= 40


def test_a_report_of_a_job_shows_what_came_of_it(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.02)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(60)
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", "--report", "report.html")
    assert code == 0, err
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<dt>answered</dt><dd>60</dd>" in text
    assert "<dt>USD</dt><dd>0.0009</dd>" in text
    assert "<h2>Throughput" in text
