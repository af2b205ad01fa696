"""`tollkeeper serve`: what it says when it starts, and with which code and words it does not."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import request, running_gate
from kit.terminal import tollkeeper

ANY_PORTS = ("--port", "0", "--operator-port", "0")


@contextlib.contextmanager
def _serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A gate as started at a terminal, and what it said within a moment of its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tollkeeper", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A demo that is killed cannot throw its home away: it is in the test's own folder.
        env={n: v for n, v in os.environ.items() if not n.endswith("_API_KEY")} | {"TMPDIR": str(folder)},
        cwd=folder,
    )
    assert process.stdout is not None
    try:
        said = b""
        while select.select([process.stdout], [], [], 0.2 if said else 20)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            said += data
        yield process, said.decode()
    finally:
        process.kill()
        process.communicate()


def test_addresses_and_on_first_start_only_the_operator_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with _serving(tmp_path, "--home", str(home), *ANY_PORTS) as (_, first):
        gate = re.search(r"^Gate +(http://127\.0\.0\.1:\d+)/v1$", first, re.M)
        operators = re.search(r"^Operators +(http://127\.0\.0\.1:\d+)$", first, re.M)
        assert gate
        assert operators
        key = (home / "operator.key").read_text("ascii").strip()
        assert re.fullmatch(r"op-[0-9a-f]{48}", key)
        assert key in first
        assert str(home / "operator.key") in first
        assert (home / "operator.key").stat().st_mode & 0o777 == 0o600
        assert request("GET", gate[1] + "/healthz", {})[0] == 200
        page = re.search(r"^Try it +(\S+)$", first, re.M)
        assert page
        status, _, body = request("GET", page[1], {})
        assert (status, b"<html" in body.lower()) == (200, True)
        assert request("GET", operators[1] + "/api/keys", {"x-api-key": key})[0] == 200
        assert "No provider is configured" in first
    with _serving(tmp_path, "--home", str(home), *ANY_PORTS) as (_, second):
        assert "Operators http://" in second
        assert key not in second
        assert (home / "operator.key").read_text("ascii").strip() == key


def test_as_json_it_is_one_line(tmp_path: Path) -> None:
    with running_gate(tmp_path) as gate:
        first = gate.about
        assert gate.stop() == 0
        gate.start()
        second = gate.about

    assert set(first) == {
        "gate",
        "operator",
        "operator_key",
        "operator_key_file",
        "providers",
        "recovered",
        "playground",
    }
    assert set(second) == set(first) - {"operator_key"}
    assert first["operator_key"] == (gate.home / "operator.key").read_text("ascii").strip()
    assert (first["providers"], first["recovered"]) == ([], 0)


def test_the_demo_has_a_model_a_key_and_a_home_that_is_thrown_away(tmp_path: Path) -> None:
    with _serving(tmp_path, "--demo", "--json", *ANY_PORTS) as (process, said):
        about = json.loads(said)
        home = Path(about["operator_key_file"]).parent
        assert home.is_dir()
        status, _, body = request(
            "POST",
            about["gate"] + "/v1/chat/completions",
            {"authorization": f"Bearer {about['demo_key']}"},
            {"model": about["demo_model"], "messages": [{"role": "user", "content": "hi"}]},
        )
        assert status == 200
        assert "You said: hi." in json.loads(body)["choices"][0]["message"]["content"]
        process.terminate()
        assert process.wait(60) == 0
        assert not home.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_0_when_told_to(tmp_path: Path, number: int) -> None:
    with _serving(tmp_path, "--home", str(tmp_path / "home"), *ANY_PORTS) as (process, _):
        process.send_signal(number)
        out, error = process.communicate(timeout=20)

    assert (process.returncode, out, error) == (0, b"", b"")


@pytest.mark.parametrize("option", ["--port", "--operator-port"])
def test_a_port_in_use_is_said_and_exits_with_1(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = {"--port": "0", "--operator-port": "0", option: port}

        ended = tollkeeper(
            "serve", "--home", str(tmp_path / "home"), *(part for pair in options.items() for part in pair)
        )

    assert (ended.code, ended.out) == (1, "")
    assert ended.error == f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use.\n"
    assert not (tmp_path / "home" / "operator.key").exists()  # which the first start that succeeds shows


@pytest.mark.parametrize(
    "options", [("--port", "99999"), ("--operator-port", "-1"), ("--port", "http"), ("--wat",), ("extra",)]
)
def test_a_wrong_command_line_exits_with_2(tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = tollkeeper("serve", *options, folder=tmp_path, environment={"HOME": str(tmp_path)})

    assert (ended.code, ended.out) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_is_none_is_said_and_exits_with_1(tmp_path: Path) -> None:
    ended = tollkeeper("serve", "--host", "999.0.0.1", "--home", str(tmp_path / "home"), *ANY_PORTS)

    assert (ended.code, ended.out) == (1, "")
    assert ended.error.startswith("Error: Cannot listen on 999.0.0.1:0: ")


def test_a_bad_config_exits_with_3_and_every_problem_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[server]\noperator_port = 9080\n\n[providers.openai]\napi_key = "env:NOT_THERE"\n'
        '\n[models.a]\ntargets = ["nowhere/x"]\n',
        "utf-8",
    )

    ended = tollkeeper("serve", "--config", str(config), "--home", str(tmp_path / "home"))

    assert (ended.code, ended.out) == (3, "")
    assert ended.error.splitlines() == [
        f"{config}:2: server.operator_port: expected another port than server.port",
        f"{config}:5: providers.openai.api_key: the environment has no NOT_THERE",
        f"{config}:8: models.a.targets: 'nowhere/x' names the provider 'nowhere', which is not configured",
    ]
    assert not (tmp_path / "home").exists()


def test_a_store_of_a_newer_tollkeeper_is_refused_in_clear_words(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "tollkeeper.db")) as newer:
        newer.execute("PRAGMA user_version = 99")

    ended = tollkeeper("serve", "--home", str(tmp_path), *ANY_PORTS)

    assert (ended.code, ended.out) == (1, "")
    assert "newer than this Tollkeeper" in ended.error


def test_ports_and_home_are_taken_from_the_config(tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    (tmp_path / "tollkeeper.toml").write_text(
        f'[server]\nport = {ports[0]}\noperator_port = {ports[1]}\nhome = "{tmp_path}/of-config"\n', "utf-8"
    )
    with _serving(tmp_path, "--json") as (_, said):
        about = json.loads(said)

    assert about["gate"] == f"http://127.0.0.1:{ports[0]}"
    assert about["operator"] == f"http://127.0.0.1:{ports[1]}"
    assert about["operator_key_file"] == str(tmp_path / "of-config" / "operator.key")


def test_version_is_said_in_both_forms() -> None:
    version = tollkeeper("version")

    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version.out)
    assert tollkeeper("version", "--json").json() == {"version": version.out.strip()}
    assert tollkeeper("--version").out == version.out
