"""`tollkeeper keys`: each command with and without --json, and what a running gate makes of them within a second."""

import contextlib
import itertools
import json
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kit.gate import GateProcess
from kit.terminal import tollkeeper
from tollkeeper.cli.main import main

ASK = {"model": "gpt-4o-mini", "messages": []}


def _run(home: Path, *arguments: str) -> tuple[int, str, str]:
    """A command in this process: exit code, output, complaints. No command may end with an exception of its own."""
    result = CliRunner().invoke(main, ["keys", *arguments, "--home", str(home)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _make(home: Path, *arguments: str) -> dict[str, Any]:
    code, out, error = _run(home, "create", *arguments, "--json")
    assert (code, error) == (0, "")
    made: dict[str, Any] = json.loads(out)
    return made


def _show(home: Path, reference: str) -> dict[str, Any]:
    code, out, _ = _run(home, "show", reference, "--json")
    assert code == 0
    shown: dict[str, Any] = json.loads(out)
    return shown


def _status_soon(gate: GateProcess, secret: str, wanted: int) -> int:
    until = time.monotonic() + 30
    while True:
        status, _, _ = gate.call("POST", "/v1/chat/completions", secret, ASK)
        if status == wanted or time.monotonic() > until:
            return status
        time.sleep(0.05)


def test_made_revoked_and_rotated_beside_a_running_gate_takes_effect_soon(gate: GateProcess) -> None:
    home = ("--home", str(gate.home))
    made = tollkeeper("keys", "create", "--name", "beside", *home, "--json").json()
    assert _status_soon(gate, made["key"], 200) == 200

    rotated = tollkeeper("keys", "rotate", "beside", *home, "--json").json()
    assert _status_soon(gate, made["key"], 401) == 401
    assert _status_soon(gate, rotated["key"], 200) == 200

    assert tollkeeper("keys", "revoke", "beside", *home).code == 0
    assert _status_soon(gate, rotated["key"], 401) == 401


def test_create_prints_the_secret_once_and_makes_the_home_for_its_owner_only(home: Path) -> None:
    ended = tollkeeper("keys", "create", "--name", "first", "--home", str(home))

    assert (ended.code, ended.error) == (0, "")
    said, secret = ended.out.splitlines()
    assert "not shown again" in said
    assert "(first)" in said
    assert secret.startswith("tk-")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "tollkeeper.db").stat().st_mode & 0o777 == 0o600
    assert (home / "pepper").stat().st_mode & 0o777 == 0o600
    assert secret not in tollkeeper("keys", "list", "--home", str(home)).out


def test_create_as_json_is_id_name_and_secret(home: Path) -> None:
    made = _make(home, "--name", "n")

    assert set(made) == {"id", "name", "key"}
    assert made["name"] == "n"


def test_create_takes_owner_team_models_and_expiry(home: Path) -> None:
    made = _make(home, "--name", "n", "--owner", "o", "--team", "t", "--models", "a, b*,", "--expires", "2999-01-02")

    shown = _show(home, made["id"])
    assert (shown["owner"], shown["team"], shown["models"]) == ("o", "t", ["a", "b*"])
    assert shown["expires_at"] == datetime(2999, 1, 2, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("30s", 30), ("2m", 120), ("12h", 43_200), ("90d", 7_776_000), ("3w", 1_814_400)],
)
def test_expiry_is_also_a_span_from_now(home: Path, given: str, seconds: int) -> None:
    made = _make(home, "--name", "n", "--expires", given)

    assert abs(_show(home, made["id"])["expires_at"] / 1000 - time.time() - seconds) < 20


@pytest.mark.parametrize(
    "given", ["", "soon", "0d", "-1d", "2001-01-01", "²d", "1.5d", "9999999w", "9" * 30, "d", "NaN"]
)
def test_an_expiry_that_cannot_be_makes_no_key(home: Path, given: str) -> None:
    code, out, error = _run(home, "create", "--name", "n", "--expires", given)

    assert (code, out) == (1, "")
    assert "--expires" in error
    assert given != "soon" or "a span like 90d or 12h" in error
    assert json.loads(_run(home, "list", "--json")[1]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", ""),
        ("--name", "a\nb"),
        ("--name", "\udcff"),
        ("--name", "n", "--owner", ""),
        ("--name", "n", "--models", "\udcff"),
        ("--name", "n", "--models", "m" * 201),
        ("--name", "n", "--models", ""),
        ("--name", "n", "--models", " , "),
    ],
)
def test_what_a_key_cannot_have_is_said_and_exits_with_1(home: Path, arguments: tuple[str, ...]) -> None:
    code, out, error = _run(home, "create", *arguments)

    assert (code, out) == (1, "")
    assert error.startswith("Error: ")
    assert arguments[-2].removeprefix("--") in error
    assert json.loads(_run(home, "list", "--json")[1]) == []


def test_list_shows_what_became_of_each_key(home: Path) -> None:
    _make(home, "--name", "stays", "--owner", "ada")
    _make(home, "--name", "goes")
    _make(home, "--name", "ends", "--expires", "1s")
    _run(home, "revoke", "goes")
    time.sleep(1.05)

    code, out, _ = _run(home, "list")
    listed = json.loads(_run(home, "list", "--json")[1])

    assert code == 0
    assert [line.split()[2:4] for line in out.splitlines()] == [
        ["active", "stays"],
        ["revoked", "goes"],
        ["expired", "ends"],
    ]
    assert "(ada)" in out
    assert [key["name"] for key in listed] == ["stays", "goes", "ends"]
    assert [key["revoked_at"] is None for key in listed] == [True, False, True]
    assert all(key["shown"].startswith("tk-") and len(key["shown"]) == 11 for key in listed)


def test_show_finds_by_id_and_by_name(home: Path) -> None:
    made = _make(home, "--name", "n", "--models", "a,b")

    code, out, _ = _run(home, "show", "n")

    assert code == 0
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (told["id"], told["name"], told["owner"]) == (made["id"], "n", "-")
    assert _show(home, made["id"]) == _show(home, "n")
    assert made["key"] not in out


def test_two_keys_of_one_name_are_told_apart(home: Path) -> None:
    first, second = _make(home, "--name", "twin"), _make(home, "--name", "twin")

    for command in ("show", "revoke", "rotate"):
        code, _, error = _run(home, command, "twin")
        assert code == 1
        assert first["id"] in error
        assert second["id"] in error
    assert _run(home, "revoke", second["id"])[0] == 0
    assert _show(home, first["id"])["revoked_at"] is None
    assert _show(home, second["id"])["revoked_at"] is not None


@pytest.mark.parametrize("command", ["show", "revoke", "rotate"])
def test_a_key_that_is_not_there_exits_with_4(home: Path, command: str) -> None:
    _make(home, "--name", "somebody")

    code, out, error = _run(home, command, "nobody", "--json")

    assert (code, out) == (4, "")
    assert "nobody" in error


def test_revoke_and_rotate_say_what_they_did(home: Path) -> None:
    made = _make(home, "--name", "n")

    code, out, _ = _run(home, "rotate", "n")
    assert code == 0
    assert out.splitlines()[1].startswith("tk-")
    assert out.splitlines()[1] != made["key"]
    assert _run(home, "revoke", "n")[:2] == (0, f"{made['id']} (n) is revoked.\n")
    assert json.loads(_run(home, "revoke", "n", "--json")[1])["id"] == made["id"]
    code, _, error = _run(home, "rotate", "n")
    assert (code, error) == (1, "Error: The key 'n' is revoked.\n")


@pytest.mark.parametrize("arguments", [("create",), ("create", "--name"), ("show",), ("nonsense",), ("list", "--wat")])
def test_a_wrong_command_line_exits_with_2(home: Path, arguments: tuple[str, ...]) -> None:
    assert _run(home, *arguments)[0] == 2


def test_the_home_is_taken_from_the_config(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[server]\nhome = "{tmp_path}/elsewhere"\n', "utf-8")

    assert tollkeeper("keys", "create", "--name", "n", "--config", str(config)).code == 0
    assert (tmp_path / "elsewhere" / "tollkeeper.db").exists()
    default: dict[str, Any] = {"folder": tmp_path, "environment": {"HOME": str(tmp_path)}}
    assert tollkeeper("keys", "create", "--name", "other", **default).code == 0
    assert [key["name"] for key in tollkeeper("keys", "list", "--json", **default).json()] == ["other"]
    assert (tmp_path / ".tollkeeper").is_dir()


def test_a_bad_config_exits_with_3_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tollkeeper.toml").write_text("[server]\nhoem = 'x'\n", "utf-8")

    ended = tollkeeper("keys", "list", folder=tmp_path)

    assert (ended.code, ended.out) == (3, "")
    assert ended.error == "tollkeeper.toml:2: server.hoem: there is no such field here\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tollkeeper.toml"]


def test_a_home_that_cannot_be_one_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "tollkeeper.db").write_text("this is not a database " * 100, "utf-8")

    for home, command in itertools.product(("file", "file/below", "foreign"), (("list",), ("create", "--name", "n"))):
        code, _, error = _run(tmp_path / home, *command)
        assert code == 1
        assert error.startswith("Error: ")
        assert home in error


def test_a_store_that_refuses_to_be_written_is_said_without_a_traceback(home: Path) -> None:
    _make(home, "--name", "n")
    with contextlib.closing(sqlite3.connect(home / "tollkeeper.db", isolation_level=None)) as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON keys BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    code, out, error = _run(home, "revoke", "n")

    assert (code, out, error) == (1, "", "Error: The store cannot be used: the disk is full.\n")


def test_a_key_is_made_with_budgets_and_limits_and_changed(home: Path) -> None:
    made = _make(
        home,
        *("--name", "n", "--budget", "5 USD/month", "--budget", "1 USD/day soft", "--limit", "5 requests/10s"),
        *("--rpm", "60", "--tpm", "9000", "--concurrency", "4", "--owner", "o"),
    )
    first = _show(home, made["id"])

    code, out, _ = _run(home, "change", "n", "--budget", "7 USD/week", "--limit", "none", "--owner", "none")

    assert first["budgets"] == ["5 USD/month", "1 USD/day soft"]
    assert first["limits"] == ["5 requests/10s", "60 requests/minute", "9000 tokens/minute", "4 concurrent"]
    assert code == 0
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (told["budgets"], told["limits"], told["owner"], told["models"]) == ("7 USD/week", "-", "-", "all")
    assert _show(home, "n")["budgets"] == ["7 USD/week"]


def test_a_key_is_shown_for_people_and_for_programs(home: Path) -> None:
    made = _make(home, "--name", "n", "--models", "a,b*", "--expires", "2999-01-02", "--budget", "5 USD/month")

    told = dict(line.split(maxsplit=1) for line in _run(home, "show", "n")[1].splitlines())

    assert (told["models"], told["budgets"], told["limits"]) == ("a, b*", "5 USD/month", "-")
    assert (told["expires_at"], told["revoked_at"]) == ("2999-01-02 00:00:00 UTC", "-")
    assert told["created_at"].endswith(" UTC")
    assert _show(home, "n")["models"] == ["a", "b*"]
    assert _run(home, "list")[1].splitlines() == [f"{made['id']}  {made['key'][:10]}…  active    n  5 USD/month"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--budget", "5 EUR/month"], "EUR"),
        (["--budget", "5 USD/month Mars/Olympus"], "Mars/Olympus"),
        (["--limit", "x"], "'x' is no limit"),
        (["--rpm", "0"], "between 1 and"),
        (["--budget", "none", "--budget", "5 USD"], "none"),
        ([], "what is to change"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_words(home: Path, given: list[str], named: str) -> None:
    made = _make(home, "--name", "n", "--budget", "5 USD")

    code, out, error = _run(home, "change", "n", *given)

    assert (code, out) == (1, "")
    assert named in error
    assert _show(home, made["id"])["budgets"] == ["5 USD"]
