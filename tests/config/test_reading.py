"""What is wrong with a config is said with its line, its name and what was expected, all of it at once."""

import os
import threading
from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.config import reading
from tollkeeper.core.errors import ConfigError
from tollkeeper.providers import PROVIDERS

NO_TABLE = "there is no such table; expected one of: " + ", ".join(
    (*reading._TABLES, *reading._NAMED_TABLES, *reading.RESOURCES)
)


def problems(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    """The problems found in this text, each with its file's name only."""
    path = folder / "gate.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as refused:
        config.load(path, environment or {})
    assert str(refused.value) == "\n".join(refused.value.problems)
    return [problem.removeprefix(f"{folder}/") for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[server]\nport = 'x'\n", "2: server.port", "expected `int`, got `str`"),
        ("[server]\nport = '9080'\n", "2: server.port", "expected `int`, got `str`"),
        ("\n\n[server]\n# a note\n\tport = 1.5 # here\n", "5: server.port", "expected `int`, got `decimal`"),
        ("server.port = true\n", "1: server.port", "expected `int`, got `bool`"),
        ("[server]\nport = 70000\n", "2: server.port", "expected `int` <= 65535"),
        ("[server]\noperator_port = 9080\n", "2: server.operator_port", "expected another port than server.port"),
        ("[server]\nshutdown_seconds = -1\n", "2: server.shutdown_seconds", "expected `float` >= 0.0"),
        ("[server]\nprot = 1\n", "2: server.prot", "there is no such field here"),
        ("[srever]\nport = 1\n", "1: srever", NO_TABLE),
        ("port = 1\n", "1: port", NO_TABLE),
        ("[server.limits]\nbdy = 1\n", "2: server.limits.bdy", "there is no such field here"),
        ("[server.limits]\nbody = 0\n", "2: server.limits.body", "expected `int` >= 1"),
        ("[log]\nformat = 'loud'\n", "2: log.format", "invalid enum value 'loud'"),
        ("[relay]\nkeep_alive = inf\n", "2: relay.keep_alive", "expected a finite number"),
        ("[drain]\nseconds = 0\n", "2: drain.seconds", "expected `float` > 0.0"),
        ("[server]\nport =\n", "2: not valid TOML", "Invalid value"),
        ("[server]\nport = 1\n\n[server]\n", "4: not valid TOML", "Cannot declare ('server',) twice"),
        ("[server]\n\nhost = 'x", "3: not valid TOML", 'Expected "\'"'),
    ],
)
def test_a_mistake_is_told_with_its_line_its_name_and_what_was_expected(
    tmp_path: Path, text: str, place: str, words: str
) -> None:
    assert problems(tmp_path, text) == [f"gate.toml:{place}: {words}"]


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ("", "1: providers.openai.api_key", "expected a key here or in the environment as OPENAI_API_KEY"),
        ("api_key = 3", "2: providers.openai.api_key", "expected `str | null`, got `int`"),
        ("key = 'x'", "2: providers.openai.key", "there is no such field here"),
        ("api_key = 'k'\ntimeouts.idle = -1", "3: providers.openai.timeouts.idle", "expected `float` > 0.0"),
        ("leave = 'x'", "2: providers.openai.leave", "invalid enum value 'x'"),
        ("timeouts = { connect = 'x' }", "2: providers.openai.timeouts.connect", "expected `float`, got `str`"),
        ("[providers.openai.timeouts]\nidel = 1", "3: providers.openai.timeouts.idel", "there is no such field here"),
        ("api_key = 'k'\nbase_url = 'ftp://x'", "3: providers.openai.base_url", "expected https://HOST/PATH"),
        (
            "api_key = 'k'\nbase_url = 'https://me:pw@x/v1'",
            "3: providers.openai.base_url",
            "expected https://HOST/PATH",
        ),
        ("api_key = 'k'\nbase_url = 'https://x/v1?a=b'", "3: providers.openai.base_url", "expected https://HOST/PATH"),
        ("kind = 'azure'\napi_key = 'k'", "1: providers.openai.base_url", "expected the URL of your azure endpoint"),
    ],
)
def test_a_mistake_in_a_provider_is_told_likewise(tmp_path: Path, fields: str, place: str, words: str) -> None:
    assert problems(tmp_path, f"[providers.openai]\n{fields}\n") == [f"gate.toml:{place}: {words}"]


def test_a_provider_s_name_is_one_that_fits_before_a_slash(tmp_path: Path) -> None:
    assert problems(tmp_path, "[providers.'a/b']\nkind = 'ollama'\n") == [
        "gate.toml:1: providers.a/b: expected a name of letters, digits, '.', '_' and '-'"
    ]


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ("", ":3: models.a", "object missing required field `targets`"),
        ("targets = []", ":4: models.a.targets", "expected at least one 'provider/model'"),
        ("targets = 'ollama/x'", ":4: models.a.targets", "expected `array`, got `str`"),
        ("targets = ['x']", ":4: models.a.targets", "expected 'provider/model', got 'x'"),
        ("targets = ['ollama/']", ":4: models.a.targets", "expected 'provider/model', got 'ollama/'"),
        ("targets = ['b/x']", ":4: models.a.targets", "'b/x' names the provider 'b', which is not configured"),
        (
            "targets = ['ollama/x']\nprice = { output = 1 }",
            ":5: models.a.price",
            "object missing required field `input`",
        ),
        ("targets = ['ollama/x']\nprice.input = 'much'", ":5: models.a.price.input", "invalid decimal string"),
        ("targets = ['ollama/x']\nprice = { input = -1 }", ":5: models.a.price.input", "expected USD, 0 or more"),
        ("targets = ['ollama/x']\nprice.inptu = 1", ":5: models.a.price.inptu", "there is no such field here"),
    ],
)
def test_a_mistake_in_a_model_is_told_likewise(tmp_path: Path, fields: str, place: str, words: str) -> None:
    text = f"[providers.ollama]\n\n[models.a]\n{fields}\n"
    name = 'models."a-1.5"'

    assert problems(tmp_path, text) == [f"gate.toml{place}: {words}"]
    assert problems(tmp_path, text.replace("models.a", name)) == [
        f"gate.toml{place.replace('models.a', name)}: {words}"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[providers.opnai]\n", "gate.toml:1: providers.opnai: no provider 'opnai' is known"),
        ("[providers.x]\nkind = 'y'\n", "gate.toml:2: providers.x.kind: no provider 'y' is known"),
    ],
)
def test_an_unknown_provider_is_told_with_those_that_are_known(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [f"{expected}; expected one of: {', '.join(sorted(PROVIDERS))}"]


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = """
        [server]
        operator_port = 9080
        [providers.openai]
        api_key = "env:NOT_THERE"
        base_url = "nowhere"
        [models.a]
        targets = ["openai/x", "other/y", "z"]
        [models.b]
        targets = []
        """
    found = problems(tmp_path, text)

    assert [problem.split(": ")[:2] for problem in found] == [
        ["gate.toml:3", "server.operator_port"],
        ["gate.toml:5", "providers.openai.api_key"],
        ["gate.toml:6", "providers.openai.base_url"],
        ["gate.toml:8", "models.a.targets"],
        ["gate.toml:8", "models.a.targets"],
        ["gate.toml:10", "models.b.targets"],
    ]


def test_the_shape_of_every_table_is_checked_even_if_another_s_is_wrong(tmp_path: Path) -> None:
    text = "[server]\nport = 'x'\n[log]\nformat = 1\n[providers.a]\nx = 1\n[providers.b]\ny = 1\n[models.c]\n"

    assert [problem.split(": ")[1] for problem in problems(tmp_path, text)] == [
        "server.port",
        "log.format",
        "providers.a.x",
        "providers.b.y",
        "models.c",
    ]


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gate.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"gate\.toml: cannot be read: "):
        config.load(path, {})


def test_a_pipe_is_refused_as_a_gate_would_wait_for_ever_for_what_nobody_writes_into_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    kept_open = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    end = threading.Timer(10, os.close, [kept_open])  # whoever reads it all the same waits no longer than that
    end.start()

    with pytest.raises(ConfigError, match=r"pipe: cannot be read: .*It is a pipe, not a file"):
        config.load(pipe, {})
    (found,) = problems(tmp_path, f"[providers.openai]\napi_key = 'file:{pipe}'\n", {})

    assert found.startswith(f"gate.toml:2: providers.openai.api_key: cannot read {pipe}: ")
    end.cancel()
    os.close(kept_open)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("env:NOT_THERE", "the environment has no NOT_THERE"),
        ("env:EMPTY", "the environment has no EMPTY"),
        ("file:/not/there", "cannot read /not/there: "),
        ("two words", "expected a key of visible ASCII characters"),
        ("clé", "expected a key of visible ASCII characters"),
        ("env:BROKEN", "expected a key of visible ASCII characters"),
    ],
)
def test_a_secret_that_cannot_be_one_is_told_without_showing_it(tmp_path: Path, given: str, words: str) -> None:
    environment = {"EMPTY": "", "BROKEN": "sk-canary\r\nx: y"}

    (found,) = problems(tmp_path, f"[providers.openai]\napi_key = '{given}'\n", environment)

    assert found.startswith(f"gate.toml:2: providers.openai.api_key: {words}")
    assert "canary" not in found
