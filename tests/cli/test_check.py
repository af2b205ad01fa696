"""`tollkeeper check`: a good config is told back, a bad one with every problem's place; nothing is started or made."""

import json
from pathlib import Path

import pytest

from kit.terminal import tollkeeper

GOOD = """
[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:8000/v1"
leave = "cancel"
[providers.openai]
api_key = "env:A_KEY"
[models."gpt-4o-mini"]
targets = ["openai/gpt-4o-mini", "local/qwen3"]
"""
SECRET = "sk-secret-0123456789"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tollkeeper.toml"
    path.write_text(GOOD, "utf-8")
    return path


def test_a_good_file_is_told_back_without_its_secrets(config: Path) -> None:
    ended = tollkeeper("check", "--config", str(config), environment={"A_KEY": SECRET})

    assert (ended.code, ended.error) == (0, "")
    assert ended.out.splitlines() == [
        f"Good: {config}",
        "  provider local: http://127.0.0.1:8000/v1 without a key",
        "  provider openai: https://api.openai.com/v1 with a key",
        "  model gpt-4o-mini: openai/gpt-4o-mini, local/qwen3",
    ]


def test_as_json_also_from_the_folder_it_is_in(config: Path) -> None:
    ended = tollkeeper("check", "--json", folder=config.parent, environment={"A_KEY": SECRET})

    assert SECRET not in ended.out
    assert ended.json() == {
        "config": "tollkeeper.toml",
        "providers": {
            "local": {"base_url": "http://127.0.0.1:8000/v1", "key": False, "leave": "cancel"},
            "openai": {"base_url": "https://api.openai.com/v1", "key": True, "leave": "drain"},
        },
        "apis": {},
        "models": {"gpt-4o-mini": ["openai/gpt-4o-mini", "local/qwen3"]},
        "notes": [],
    }
    assert [path.name for path in config.parent.iterdir()] == ["tollkeeper.toml"]


def test_without_a_file_the_environments_providers_are_told(tmp_path: Path) -> None:
    ended = tollkeeper("check", folder=tmp_path, environment={"OPENAI_API_KEY": SECRET})

    assert ended.code == 0
    assert ended.out.splitlines() == [
        "Good: no file; defaults and the environment",
        "  provider openai: https://api.openai.com/v1 with a key",
    ]
    assert tollkeeper("check", "--json", folder=tmp_path).json() == {
        "config": None,
        "providers": {},
        "models": {},
        "apis": {},
        "notes": [],
    }


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_bad_file_exits_with_3_and_each_problem_is_a_line(config: Path, form: tuple[str, ...]) -> None:
    config.write_text(GOOD.replace("local/qwen3", "lokal/qwen3").replace("http://127", "127"), "utf-8")

    ended = tollkeeper("check", "--config", str(config), *form)

    assert (ended.code, ended.out) == (3, "")
    assert [line.partition(": ")[0] for line in ended.error.splitlines()] == [f"{config}:{n}" for n in (4, 7, 9)]
    assert [line.split(": ")[1] for line in ended.error.splitlines()] == [
        "providers.local.base_url",
        "providers.openai.api_key",
        "models.gpt-4o-mini.targets",
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[server\n", 1, "not valid TOML"),
        ("\n\n[server]\nport = 'x'\n", 4, "server.port: expected `int`, got `str`"),
        ("\n[sevrer]\n", 2, "sevrer: there is no such table"),
        ("[server]\n\n[log]\nfromat = 'json'\n", 4, "log.fromat: there is no such field here"),
    ],
)
def test_where_it_is_and_what_was_expected(config: Path, text: str, line: int, words: str) -> None:
    config.write_text(text, "utf-8")

    ended = tollkeeper("check", "--config", str(config))

    assert ended.code == 3
    assert f"{config}:{line}: " in ended.error
    assert words in ended.error


def test_a_model_that_nobody_has_is_told_and_no_reason_not_to_start(config: Path) -> None:
    sockets = '[websocket]\nmodel = "gpt-4o-mini"\n[websocket.actions.plan]\nmodel = "local/any"\n'
    config.write_text(f'{GOOD}{sockets}[assistant]\nmodel = "nobodys"\n', "utf-8")

    ended = tollkeeper("check", "--config", str(config), environment={"A_KEY": SECRET})

    note = f"{config}:15: assistant.model: nobody has a model 'nobodys': calls of it are refused"
    assert (ended.code, ended.error.splitlines()) == (0, [note])


def test_a_file_that_is_not_there_exits_with_3(tmp_path: Path) -> None:
    ended = tollkeeper("check", "--config", str(tmp_path / "absent.toml"))

    assert (ended.code, ended.out) == (3, "")
    assert ended.error.startswith(f"{tmp_path}/absent.toml: cannot be read: ")


APIS = """
[apis.poem]
prompt = "A poem on {{ topic }}."
[apis.weather]
function = "weather:today"
"""
WEATHER = "async def today(city: str) -> str:\n    return city\n"


def test_published_apis_are_compiled_and_told(config: Path) -> None:
    config.write_text(GOOD + APIS, "utf-8")
    (config.parent / "weather.py").write_text(WEATHER, "utf-8")

    ended = tollkeeper("check", "--config", str(config), environment={"A_KEY": SECRET})

    assert (ended.code, ended.error) == (0, "")
    assert ended.out.splitlines()[-2:] == ["  api poem: POST /poem", "  api weather: POST /weather"]


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("{{ topic }}", "{{ topic", 2, "apis.poem.prompt: "),
        (
            "weather:today",
            "weather:tomorrow",
            4,
            "apis.weather.function: weather:tomorrow: 'weather' has no 'tomorrow'",
        ),
        ("weather:today", "whether:today", 4, "No module named 'whether'"),
        ('prompt = "A', 'output = { type = "nonsense" }\nprompt = "A', 2, "apis.poem.output: "),
        ('prompt = "A', 'input = "missing.json"\nprompt = "A', 2, "cannot read a JSON Schema from missing.json"),
    ],
)
def test_what_is_wrong_with_a_published_api_is_told_with_its_place(
    config: Path, before: str, after: str, line: int, words: str
) -> None:
    config.write_text((GOOD + APIS).replace(before, after), "utf-8")
    (config.parent / "weather.py").write_text(WEATHER, "utf-8")

    ended = tollkeeper("check", "--config", str(config), environment={"A_KEY": SECRET})

    assert (ended.code, ended.out) == (3, "")
    assert f"{config}:{GOOD.count(chr(10)) + line + 1}: " in ended.error
    assert words in ended.error


def test_a_module_that_breaks_when_it_is_imported_is_told_with_its_line(config: Path) -> None:
    config.write_text(GOOD + APIS, "utf-8")
    (config.parent / "weather.py").write_text("import os\nos.nothing\n", "utf-8")

    ended = tollkeeper("check", "--config", str(config), environment={"A_KEY": SECRET})

    assert ended.code == 3
    assert "weather.py, line 2" in ended.error or "weather.py:2" in ended.error


ROUTES = """
[upstreams.up]
nodes = { "api.example:80" = 1 }
[consumers.ada.plugins.key-auth]
key = "a-secret-of-ada-s"
[routes.hello]
uri = "/hello*"
methods = ["GET"]
upstream_id = "up"
[routes.hello.plugins.key-auth]
"""


def test_routes_are_listed_and_no_secret_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "tollkeeper.toml").write_text(ROUTES)

    ended = tollkeeper("check", "--home", "home", folder=tmp_path)
    told = tollkeeper("check", "--home", "home", "--json", folder=tmp_path).json()

    assert ended.out.splitlines()[1:] == [
        "  routes/hello  GET  /hello*  [key-auth]",
        '  upstreams/up  -> {"api.example:80":1}',
        "  consumers/ada  [key-auth]",
    ]
    assert told["routes"]["hello"]["upstream_id"] == "up"
    assert "a-secret" not in json.dumps(told)
    assert not (tmp_path / "home").exists()


def test_every_route_that_cannot_be_is_named_with_its_place(tmp_path: Path) -> None:
    bad = ROUTES.replace('"up"', '"none"').replace("api.example", "10.0.0.1")
    (tmp_path / "tollkeeper.toml").write_text(bad)

    ended = tollkeeper("check", "--home", "home", folder=tmp_path)

    assert (ended.code, ended.out) == (3, "")
    assert ended.error.splitlines() == [
        "tollkeeper.toml:6: routes.hello: failed to fetch upstream info by upstream id [none], response code: 404",
        "tollkeeper.toml:2: upstreams.up: node 10.0.0.1:80 is not allowed:"
        " its address is in no network of [routing] allow_nodes",
    ]


def test_what_a_route_refers_to_may_be_in_the_store(tmp_path: Path) -> None:
    (tmp_path / "tollkeeper.toml").write_text('[routes.hello]\nuri = "/hello"\nupstream_id = "stored"\n')
    (tmp_path / "more.yaml").write_text("upstreams: {stored: {nodes: {}}}")
    home = ("--home", "home")

    assert tollkeeper("check", *home, folder=tmp_path).code == 3
    assert tollkeeper("routes", "apply", "more.yaml", *home, folder=tmp_path).code == 0
    assert tollkeeper("check", *home, folder=tmp_path).code == 0
