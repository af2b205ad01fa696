"""Which plugins there are, and what of their configurations is refused."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread, current_thread
from types import SimpleNamespace

import pytest

from kit.gate import GateProcess, request, running_gate
from tollkeeper import plugins
from tollkeeper.core.errors import ConfigError
from tollkeeper.routes.registry import Invalid, Registry

PAGE = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text("utf-8")


def test_the_plugin_of_the_page_runs(tmp_path: Path) -> None:
    folder = tmp_path / "gate" / "plugins"
    folder.mkdir(parents=True)
    [python] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [toml] = re.findall(r"```toml\n(.*?)```", PAGE.partition("## How to add one")[2], re.DOTALL)
    (folder / "greeting.py").write_text(python, "utf-8")

    with running_gate(tmp_path / "gate", toml) as gate:
        status, headers, body = request("GET", f"{gate.url}/hello", {})

    assert (status, headers["x-greeting"], body) == (200, "hello", b"hi")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(Invalid, match=r"unknown plugin \[no-such\]"):
        Registry(plugins).check({"no-such": {}}, lambda name: ())


def test_a_consumer_s_part_has_a_schema_of_its_own() -> None:
    registry = Registry(plugins)

    registry.check({"key-auth": {}}, lambda name: ())
    words = 'failed to check the configuration of plugin key-auth err: property "key" is required'
    with pytest.raises(Invalid, match=re.escape(words)):
        registry.check({"key-auth": {}}, lambda name: (), consumer=True)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"priority": "high"}, 'property "_meta" validation failed: property "priority" validation failed: wrong type'),
        ({"pre_function": "return"}, "additional properties forbidden, found pre_function"),
        ({"filter": ["uri", "==", "/"]}, "rule should be wrapped inside brackets"),
    ],
)
def test_what_meta_says_is_checked(meta: object, words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)):
        Registry(plugins).check({"key-auth": {"_meta": meta}}, lambda name: ())


def test_a_file_without_a_plugin_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("", "utf-8")

    with pytest.raises(ConfigError, match=r"empty\.py"):
        Registry(plugins, tmp_path).get("empty")


def test_a_plugin_that_two_threads_ask_for_at_one_time_is_one_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "meeting", SimpleNamespace(barrier=Barrier(2)))
    code = "from tollkeeper.routes.plugin import Plugin\nfrom meeting import barrier\n\nbarrier.wait(30)\n"
    (tmp_path / "met.py").write_text(code + "class Met(Plugin): ...\n")
    registry = Registry(plugins, tmp_path)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(registry.get, ["met", "met"])

    assert one is other is registry.get("met")


def test_all_are_listed_the_highest_priority_first() -> None:
    found = list(Registry(plugins).all().values())

    assert [plugin.priority for plugin in found] == sorted((plugin.priority for plugin in found), reverse=True)


@pytest.mark.parametrize(
    ("name", "conf"),
    [
        ("request-id", {"header_name": "x\ny"}),
        ("csrf", {"key": "k", "name": "a: b"}),
        ("fault-injection", {"abort": {"http_status": 500, "headers": {"é": "x"}}}),
        ("mocking", {"response_example": "x", "response_headers": {"a b": "x"}}),
        ("response-rewrite", {"headers": {"Transfer-Encoding": "chunked"}}),
        ("response-rewrite", {"headers": {"add": ["connection: x"]}}),
        ("proxy-rewrite", {"headers": {"set": {"x\ry": "x"}}}),
        ("proxy-rewrite", {"headers": {"Upgrade": "h2c"}}),
        (
            "api-breaker",
            {
                "break_response_code": 500,
                "break_response_body": "",
                "break_response_headers": [{"key": "a b", "value": "1"}],
            },
        ),
        ("forward-auth", {"uri": "http://a.com/", "upstream_headers": ["a b"]}),
        ("limit-count", {"rules": [{"count": 1, "time_window": 1, "key": "uri", "header_prefix": "a\nb"}]}),
    ],
)
def test_what_is_no_header_s_name_or_is_the_connection_s_is_refused(name: str, conf: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=r"header|pattern"):
        Registry(plugins).check({name: conf}, lambda name: ())


def test_no_mock_keeps_a_client_waiting_for_another_answer() -> None:
    with pytest.raises(Invalid, match="response_status must be 200 or more"):
        Registry(plugins).check({"mocking": {"response_example": "x", "response_status": 100}}, lambda name: ())


def test_what_a_plugin_imports_is_imported_on_a_thread_before_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[tuple[str, Thread]] = []
    monkeypatch.setitem(
        sys.modules, "heard", SimpleNamespace(say=lambda what: threads.append((what, current_thread())))
    )
    code = """
from heard import say
from tollkeeper.routes.plugin import Plugin

class Heavy(Plugin):
    @classmethod
    def load(cls):
        say("load")

say("import")
"""
    (tmp_path / "heavy.py").write_text(code)
    (tmp_path / "empty.py").write_text("")
    registry = Registry(plugins, tmp_path)

    for _ in range(2):
        asyncio.run(registry.make_ready({"steps": [{"plugins": {"heavy": {}}, "empty": 1}]}))

    assert [what for what, _ in threads] == ["import", "load"]
    assert current_thread() not in [thread for _, thread in threads]


@pytest.mark.parametrize("face", ["admin", "proposals"])
def test_a_plugin_that_a_write_names_first_is_not_imported_by_the_thread_that_serves_calls(
    plugged: GateProcess, face: str
) -> None:
    route = {"uri": f"/{face}", "plugins": {f"named-by-{face}": {}}}
    if face == "admin":
        assert plugged.operator("PUT", "/apisix/admin/routes/1", route)[0] == 201
    else:
        steps = [{"do": "put", "kind": "routes", "id": "2", "value": route}]
        status, _, body = plugged.operator("POST", "/api/proposals", {"what": "try", "steps": steps})
        assert status == 201, body
        id = json.loads(body)["id"]
        assert plugged.operator("POST", f"/api/proposals/{id}/apply")[0] == 200

    assert request("GET", f"{plugged.url}/{face}", {})[2] == b"another thread"


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate with plugins that tell which thread imported them."""
    folder = tmp_path_factory.mktemp("plugged")
    (folder / "plugins").mkdir()
    code = """
import threading
from tollkeeper.routes.exchange import Response
from tollkeeper.routes.plugin import Plugin

IMPORTED = b"the main thread" if threading.current_thread() is threading.main_thread() else b"another thread"

class Named(Plugin):
    def access(self, exchange):
        return Response(200, IMPORTED)
"""
    for face in ("admin", "proposals"):
        (folder / "plugins" / f"named_by_{face}.py").write_text(code, "utf-8")
    with running_gate(folder, '[routing]\nplugins = "plugins"\n') as gate:
        yield gate
