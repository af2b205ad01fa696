"""The gate behind other proxies: whatever they make of an odd request, as many calls arrive as answers go back."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess
from kit.malformed import DOUBLE, MALFORMED, with_body
from kit.raw import RawClient
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.vitals import becomes

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  upstream gate {{ server 127.0.0.1:{gate}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://gate; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 3s
  timeout server 5s
frontend door
  bind 127.0.0.1:{port}
  default_backend gate
backend gate
  http-reuse always
  server gate 127.0.0.1:{gate}
"""
VARNISH = """
vcl 4.1;
backend gate {{ .host = "127.0.0.1"; .port = "{gate}"; }}
sub vcl_recv {{ return (pass); }}
"""
FRONTS: dict[str, tuple[str, Callable[[Path, Path, int], list[str]]]] = {
    "nginx": (NGINX, lambda file, folder, port: ["-c", str(file), "-e", str(folder / "error.log"), "-p", str(folder)]),
    "haproxy": (HAPROXY, lambda file, folder, port: ["-f", str(file), "-db"]),
    "varnishd": (
        VARNISH,
        lambda file, folder, port: [
            *("-F", "-f", str(file), "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}"),
            *("-s", "malloc,16m", "-j", "none"),
        ],
    ),
}


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, gate: GateProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a proxy in front of the gate."""
    program = shutil.which(request.param, path=PATH)
    if program is None:
        pytest.skip(f"no {request.param} here")
    folder = tmp_path_factory.mktemp(request.param)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config, arguments = FRONTS[request.param]
    file = folder / "config"
    file.write_text(config.format(folder=folder, gate=gate.port, port=port), "ascii")
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([program, *arguments(file, folder, port)], stdout=output, stderr=output)
    try:
        assert becomes(lambda: _listens(port), 20), (folder / "output").read_text("utf-8")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _echo(request: Request, connection: Connection) -> bool:
    """Answers with the name of who asked, so that an answer that goes astray shows."""
    return bool(json_answer(200, chat_answer(f"for {request.json()['user']}"))(request, connection))


def _call(key: str, user: str) -> bytes:
    body = json.dumps({"model": "m", "messages": [], "user": user}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
ODD = [
    *((f"row{row}-{number}", sent) for row, requests in MALFORMED.items() for number, sent in enumerate(requests)),
    *((f"double-{number}", head) for number, head in enumerate(DOUBLE)),
]


@pytest.mark.row(9)
def test_a_call_arrives_once_through_a_proxy(front: int, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = _echo
    before = len(upstream.requests)
    with RawClient(front) as client:
        for user in ("ada", "bob"):
            client.send(_call(key, user))
            client.read_until(f"for {user}".encode())

    assert [request.json()["user"] for request in upstream.requests[before:]] == ["ada", "bob"]


@pytest.mark.row(9)
def test_no_request_is_hidden_in_an_odd_one_that_a_proxy_lets_pass(
    front: int, upstream: ScriptedUpstream, key: str
) -> None:
    """Rows 1 to 7 again. A second call follows each odd request, inside its body for one way of reading."""
    upstream.script = _echo
    for name, odd in ODD:
        before = len(upstream.requests)
        odd = odd.replace(b"host: x\r\n", b"host: x\r\nauthorization: Bearer %b\r\n" % key.encode(), 1)
        hidden = _call(key, "hidden")
        with RawClient(front) as client:
            client.send((with_body(odd, hidden) if b"LENGTH" in odd else odd + hidden) + LAST)
            client.sock.settimeout(0.5)
            with contextlib.suppress(TimeoutError):  # it waits for more of what it takes for a body
                client.read_all()
        with RawClient(front) as other:
            other.send(_call(key, "next"))
            other.read_until(b"for ")
            other.read_until(b"}}")

        assert b"for next" in other.received, name
        assert b"for hidden" not in other.received, name
        arrived = [request.json()["user"] for request in upstream.requests[before:]]
        assert arrived.count("next") == 1, name
        assert arrived.count("hidden") == client.received.count(b"for hidden"), name
