"""The gate in a real Apache with the system's mod_wsgi, configured by what `tollkeeper deploy apache` writes."""

import getpass
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.copies import run
from kit.gate import request
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)
from kit.servers import free_port, open_folder, program, running
from kit.vitals import becomes

MODULES = Path("/usr/lib/apache2/modules")
VENV = Path(__file__).parent.parent.parent / ".clients" / "wsgi"
MAIN = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
ServerName localhost
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule env_module {modules}/mod_env.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
{user}
Include {folder}/tollkeeper.conf
"""
CONFIG = """
[server]
operator_port = {operator_port}
[log]
format = "json"
[retry]
retries = 0
[providers.openai]
base_url = "{upstream}"
api_key = "env:OPENAI_API_KEY"
[models.m]
targets = ["openai/m"]
price = {{ input = 1, output = 1 }}
"""
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Apache:
    """One that runs, and what there is to be asked of it."""

    def __init__(self, folder: Path, port: int, operator_port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.operator_url = f"http://127.0.0.1:{operator_port}"
        self.process: subprocess.Popen[bytes]

    def tollkeeper(self, *arguments: str) -> Any:
        """A command on the gate's home; its JSON."""
        home = str(self.folder / "home")
        done = run(*arguments, "--json", "--home", home, folder=Path.cwd(), environment=os.environ)
        assert done.returncode == 0, done.stderr.decode() + self.log()
        return json.loads(done.stdout)

    def call(self, key: str, **fields: Any) -> tuple[int, dict[str, str], bytes]:
        return request("POST", self.url + "/v1/chat/completions", {"authorization": f"Bearer {key}"}, {**ASK, **fields})

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tollkeeper("events")
        return found

    def log(self) -> str:
        """The end of it."""
        return (self.folder / "error.log").read_text("utf-8")[-3000:]

    def daemon(self) -> int:
        """The process that owns the home; 0 while one is writing down that it does."""
        return int((self.folder / "home" / "gate.lock").read_text("ascii") or 0)

    def restart(self) -> None:
        """As `apachectl graceful` does; returns when another process has the home."""
        before = self.daemon()
        self.process.send_signal(signal.SIGUSR1)
        assert becomes(lambda: self.daemon() not in (0, before), 30), self.log()
        assert becomes(lambda: request("GET", self.url + "/readyz", {})[0] == 200, 30), self.log()


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer("Hello!", 9, 2))) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def apache(upstream: ScriptedUpstream) -> Iterator[Apache]:
    server = program("apache2")
    if not (MODULES / "mod_wsgi.so").exists():
        pytest.skip("no mod_wsgi here")
    if not (VENV / "stamp").exists():
        pytest.skip("no .clients/wsgi: scripts/setup-clients makes it")
    user = "www-data" if os.getuid() == 0 else getpass.getuser()  # mod_wsgi refuses to run as root
    if user == "www-data" and not all(each.stat().st_mode & 0o001 for each in VENV.parents):
        pytest.skip("this checkout is closed to other users")
    with open_folder() as folder:
        apache = Apache(folder, free_port(), free_port())
        config = CONFIG.format(upstream=upstream.url, operator_port=apache.operator_url.rpartition(":")[2])
        (folder / "tollkeeper.toml").write_text(config, "utf-8")
        (folder / "keys.env").write_text("# keys\nOPENAI_API_KEY='sk-test'\n", "utf-8")
        (folder / "home").mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(folder / "home", user, user)
        apache.tollkeeper(
            *("deploy", "apache", "--domain", "gate.example", "--port", str(apache.port), "--output", str(folder)),
            *("--script", str(folder / "tollkeeper.wsgi"), "--venv", str(VENV), "--user", user, "--threads", "8"),
            *("--environment", str(folder / "keys.env"), "--config", str(folder / "tollkeeper.toml")),
        )
        main = folder / "apache.conf"
        drop = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        main.write_text(MAIN.format(folder=folder, modules=MODULES, user=drop), "ascii")
        with running([server, "-f", str(main), "-DFOREGROUND"], apache.port, folder / "output") as process:
            apache.process = process
            assert becomes(lambda: request("GET", apache.url + "/readyz", {})[0] == 200, 60), apache.log()
            yield apache


@pytest.fixture(scope="module")
def key(apache: Apache) -> str:
    secret: str = apache.tollkeeper("keys", "create", "--name", "ada")["key"]
    assert becomes(lambda: apache.call(secret)[0] == 200, 10), apache.log()
    return secret


def test_a_plain_call_is_answered_and_recorded(apache: Apache, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!", 9, 2))

    status, headers, body = apache.call(key)

    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Hello!")
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-test"
    event = next(each for each in apache.events() if each["request_id"] == headers["x-request-id"])
    assert (event["input_tokens"], event["output_tokens"], event["quality"]) == (9, 2, "reported")


def test_a_refusal_keeps_its_status_and_form(apache: Apache) -> None:
    status, headers, body = apache.call("tk-wrong")

    assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert headers["www-authenticate"] == "Bearer"


def test_an_encoded_slash_in_a_path_stays_one_name(apache: Apache, key: str) -> None:
    status, _, body = request("GET", apache.url + "/v1/models/openai%2Fx", {"authorization": f"Bearer {key}"})

    assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")


def test_a_streams_words_pass_as_they_come(apache: Apache, upstream: ScriptedUpstream, key: str) -> None:
    first, *rest = chat_events(["one", "two"], usage_of(7, 2))
    step = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        step.wait(30)
        connection.chunk(b"".join(rest))
        connection.end()

    upstream.script = script
    with RawClient(apache.port) as client:
        client.send(_raw(key))
        client.read_until(b"one")  # the upstream has not sent the second word, and will not until we have this
        assert b"two" not in client.received
        step.set()
        client.read_until(b"[DONE]")

    assert becomes(lambda: apache.events()[0]["output_tokens"] == 2, 20)
    assert apache.events()[0]["streamed"]


def test_a_stream_that_breaks_off_ends_with_an_error_event_that_the_server_ends_as_if_it_were_whole(
    apache: Apache, upstream: ScriptedUpstream, key: str
) -> None:
    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one"], None)[0])
        connection.reset()

    upstream.script = script
    with RawClient(apache.port) as client:
        client.send(_raw(key))
        client.read_until(b"upstream_")
        received = client.read_all()

    events = received.partition(b"\r\n\r\n")[2]
    assert b'data: {"error":' in events
    assert b"[DONE]" not in events
    assert events.endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_midway_is_charged_once(apache: Apache, upstream: ScriptedUpstream, key: str) -> None:
    events = chat_events(["word "] * 200, usage_of(7, 200))
    left = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(events[0])
        left.wait(30)
        for event in events[1:]:
            if not connection.chunk(event):
                return
        connection.end()

    upstream.script = script
    before = len(apache.events())
    with RawClient(apache.port) as client:
        client.send(_raw(key))
        client.read_until(b"word")
    left.set()

    assert becomes(lambda: len(apache.events()) == before + 1, 30), apache.log()
    assert apache.events()[0]["outcome"] in ("ok", "client_left")


def test_an_upload_of_unknown_length_arrives_whole(apache: Apache, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!", 9, 2))
    body = json.dumps({**ASK, "padding": "x" * 200_000}).encode()
    with RawClient(apache.port) as client:
        client.send(_raw(key, b"transfer-encoding: chunked\r\n", b""))
        for start in range(0, len(body), 50_000):
            piece = body[start : start + 50_000]
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        client.read_until(b"Hello!")

    assert json.loads(upstream.requests[-1].body)["padding"] == "x" * 200_000


def test_the_operators_port_is_there(apache: Apache, key: str) -> None:
    operator_key = (apache.folder / "home" / "operator.key").read_text("ascii").strip()

    status, _, body = request("GET", apache.operator_url + "/api/keys", {"x-api-key": operator_key})

    assert status == 200
    assert [each["name"] for each in json.loads(body)["data"]] == ["ada"]


def test_a_graceful_restart_loses_nothing(apache: Apache, upstream: ScriptedUpstream, key: str) -> None:
    """One call is whole before it, one is under way when it comes, one is whole after it."""
    upstream.script = json_answer(200, chat_answer("Hello!", 9, 2))
    before = len(apache.events())
    assert apache.call(key)[0] == 200
    first, *_ = chat_events(["one", "two"], usage_of(7, 2))
    over = threading.Event()

    def endless(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        over.wait(60)

    upstream.script = endless
    with RawClient(apache.port) as client:
        client.send(_raw(key))
        client.read_until(b"one")
        apache.restart()
    over.set()
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(5, 1))))
    assert apache.call(key, stream=True)[0] == 200

    assert becomes(lambda: len(apache.events()) == before + 3, 20), apache.log()
    after, cut, whole = apache.events()[:3]
    assert (after["output_tokens"], after["quality"]) == (1, "reported")
    assert (whole["output_tokens"], whole["quality"]) == (2, "reported")
    # Settled by the process that ended; on a machine so busy that Apache killed it before, by the one that came after.
    assert (cut["quality"], cut["outcome"]) in (("counted", "gate_stopped"), ("recovered", "unknown"))
    assert apache.tollkeeper("verify")["ok"]


def _raw(key: str, length: bytes | None = None, body: bytes | None = None) -> bytes:
    if body is None:
        body = json.dumps({**ASK, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate.example\r\nauthorization: Bearer {key}\r\n".encode()
    return head + (length or b"content-length: %d\r\n" % len(body)) + b"content-type: application/json\r\n\r\n" + body
