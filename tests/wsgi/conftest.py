"""A gate behind a WSGI server of threads, in the test's own process, before a scripted upstream."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.wsgi import Application

CONFIG = """
[server]
operator_port = 0
[log]
format = "json"
[retry]
retries = 0
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "env:UP_KEY"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """Says hello in nine tokens and two."""
    with ScriptedUpstream(json_answer(200, chat_answer("Hello!", 9, 2))) as scripted:
        yield scripted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def variables(tmp_path: Path, home: Path, upstream: ScriptedUpstream) -> dict[str, str]:
    """What the process's environment says."""
    config, keys = tmp_path / "tollkeeper.toml", tmp_path / "keys.env"
    config.write_text(CONFIG.format(url=upstream.url), "utf-8")
    keys.write_text("UP_KEY=sk-provider\n", "utf-8")
    return {"TOLLKEEPER_CONFIG": str(config), "TOLLKEEPER_HOME": str(home), "TOLLKEEPER_ENVIRONMENT": str(keys)}


@pytest.fixture
def application(variables: dict[str, str]) -> Iterator[Application]:
    application = Application(variables, patience=1)
    yield application
    application.stop()


@pytest.fixture
def key(home: Path) -> str:
    """Made before the gate starts."""
    home.mkdir(mode=0o700)
    store = KeyStore(home, lambda: 1.0, lambda size: b"k" * size)
    _, secret = store.create("ada")
    store.close()
    return secret


@pytest.fixture
def serve() -> Iterator[Callable[[Application], int]]:
    """Serves an application on a free port and says which."""
    servers: list[WSGIServer] = []

    def begin(application: Application) -> int:
        server = make_server("127.0.0.1", 0, application, _Server, _Quiet)  # type: ignore[arg-type]
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()
