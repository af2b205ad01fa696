"""The mock provider, nginx in front of it, and the gate in front of it: each a process of its own on a free port."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench import answers, calls
from bench.processes import Unready, first_line, free_port, running, wait_for_port

REPOSITORY = Path(__file__).resolve().parent.parent

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  client_body_buffer_size 256k;
  keepalive_requests 1000000000;
  upstream mock {{
    server 127.0.0.1:{mock};
    keepalive 2048;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"""

GATE = """
[log]
format = "json"

[providers.mock]
kind = "openai"
base_url = "http://127.0.0.1:{mock}/v1"
api_key = "x"

[models."gpt-4o-mini"]
targets = ["mock/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6 }}

[models.paced]
targets = ["mock/paced"]
price = {{ input = 0.15, output = 0.6 }}

[models.slow]
targets = ["mock/slow"]
price = {{ input = 0.15, output = 0.6 }}

[apis.published]
model = "gpt-4o-mini"
"""


class Server(Struct, frozen=True):
    """Something that answers chat calls."""

    name: str
    port: int
    pid: int
    key: str = "none"
    path: str = calls.PATH
    """Where its calls are taken."""
    events: int = answers.EVENTS
    """Of a stream whose client asked for usage, [DONE] included."""


def published(gate: Server) -> Server:
    """The same gate, asked at an API that it publishes in front of the same model."""
    return Server(
        "a published API", gate.port, gate.pid, gate.key, "/published", answers.WORDS + 2
    )  # "Answer: " before them


@contextlib.contextmanager
def mock(folder: Path) -> Iterator[Server]:
    """The provider."""
    log = folder / "mock.log"
    with running([sys.executable, "-m", "bench.mock"], log, cwd=REPOSITORY) as process:
        yield Server("mock", json.loads(first_line(process, log))["port"], process.pid)


@contextlib.contextmanager
def nginx(folder: Path, mock_port: int) -> Iterator[Server]:
    """One worker, kept-alive connections on both sides, nothing buffered, nothing logged."""
    folder = folder / "nginx"
    folder.mkdir()
    port = free_port()
    user = "user root;" if os.getuid() == 0 else ""  # else its worker may not enter a private temporary folder
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(user=user, folder=folder, mock=mock_port, port=port), "utf-8")
    log = folder / "nginx.log"
    with running(["nginx", "-p", str(folder), "-c", str(config), "-e", str(log)], log) as process:
        wait_for_port(process, port, log)
        yield Server("nginx", port, process.pid)


@contextlib.contextmanager
def tollkeeper(folder: Path, mock_port: int, gate_port: int = 0) -> Iterator[Server]:
    """The gate with everything on: keys, the durable ledger, metrics, and JSON logs to a file."""
    with tollkeeper_process(folder, mock_port, gate_port) as process:
        about = json.loads(first_line(process, folder / "gate" / "gate.log"))
        port = int(about["gate"].rpartition(":")[2])
        yield Server("tollkeeper", port, process.pid, _new_key(folder / "gate" / "home", about["operator"]))


@contextlib.contextmanager
def tollkeeper_process(folder: Path, mock_port: int, gate_port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The gate as it is just started, not yet ready. A second start in the same folder finds the first's home."""
    folder = folder / "gate"
    folder.mkdir(exist_ok=True)
    config = folder / "tollkeeper.toml"
    config.write_text(GATE.format(mock=mock_port), "utf-8")
    command = [sys.executable, "-m", "tollkeeper", "serve", "--port", str(gate_port), "--operator-port", "0", "--json"]
    command += ["--home", str(folder / "home"), "--config", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with running(command, folder / "gate.log", environment=environment, cwd=folder) as process:
        yield process


def check(server: Server) -> None:
    """Raises Unready where a call is not answered well: a load of refusals measures nothing."""
    asked = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    asked.request("POST", server.path, calls.small(), calls.headers(server.key))
    answer = asked.getresponse()
    body = answer.read()
    asked.close()
    if answer.status != 200:
        raise Unready(f"{server.name} answers {answer.status}: {body[:500].decode('utf-8', 'replace')}")


def _new_key(home: Path, operator: str) -> str:
    wanted: Any = urllib.request.Request(
        operator + "/api/keys",
        json.dumps({"name": "bench"}).encode(),
        {"content-type": "application/json", "x-api-key": (home / "operator.key").read_text("ascii").strip()},
    )
    with urllib.request.urlopen(wanted, timeout=10) as answer:
        key: str = json.load(answer)["key"]
        return key
