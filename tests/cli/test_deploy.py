"""Deployment files: made for this installation, never overwritten unasked, and fine by the tools that will read them."""

import json
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, usage_of
from kit.servers import free_port, open_folder, program, running
from kit.terminal import Ended, tollkeeper
from kit.tls import certificate

LINTERS = Path(__file__).parent.parent.parent / ".clients" / "linters" / "bin"
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  include {folder}/tollkeeper.conf;
}}
"""
UPGRADE = (
    "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TARGETS = {
    "apache": ["--domain", "gate.example"],
    "nginx": ["--domain", "gate.example"],
    "systemd": [],
    "docker": [],
}


def deploy(*arguments: str) -> Ended:
    """Runs the command."""
    return tollkeeper("deploy", *arguments)


def linter(name: str) -> str:
    """Its path, in the environment that scripts/setup-clients makes."""
    if not (LINTERS.parent / "stamp").exists():
        pytest.skip(f"no {name} in .clients/linters: scripts/setup-clients makes it")
    return str(LINTERS / name)


@pytest.mark.parametrize("target", TARGETS)
def test_files_are_written_once_and_only_replaced_by_force(target: str, tmp_path: Path) -> None:
    done = deploy(target, *TARGETS[target], "--output", str(tmp_path), "--json")
    said = done.json()
    one, *_ = (Path(path) for path in said["files"])
    one.write_text("mine", "utf-8")

    refused = deploy(target, *TARGETS[target], "--output", str(tmp_path))

    assert (refused.code, one.read_text("utf-8")) == (1, "mine")
    assert one.name in refused.error
    assert "--force" in refused.error
    assert deploy(target, *TARGETS[target], "--output", str(tmp_path), "--force").code == 0
    assert one.read_text("utf-8") != "mine"


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_says_what_it_is_for_and_every_step_is_told(target: str, tmp_path: Path) -> None:
    done = deploy(target, *TARGETS[target], "--output", str(tmp_path))

    for path in tmp_path.iterdir():
        assert path.read_text("utf-8").startswith(("#", '"""')), path
        assert f"Wrote {path}" in done.out
    again = deploy(target, *TARGETS[target], "--output", str(tmp_path), "--force", "--json")
    steps = again.json()["run"]
    assert steps
    assert all(f"  {step}\n" in done.out for step in steps)


@pytest.mark.parametrize(
    ("target", "option", "value"),
    [
        ("apache", "--domain", "a.example\nInclude /etc/passwd"),
        ("apache", "--domain", "-a"),
        ("apache", "--user", "root; rm"),
        ("apache", "--script", "relative/tollkeeper.wsgi"),
        ("nginx", "--certificate", "/a;b"),
        ("systemd", "--venv", "/opt/my venv"),
        ("systemd", "--home", "/var/lib/%i"),
        ("docker", "--python", "3.10"),
        ("docker", "--config", '/x"'),
    ],
)
def test_what_would_change_a_files_meaning_is_refused(target: str, option: str, value: str, tmp_path: Path) -> None:
    done = deploy(target, *TARGETS[target], option, value, "--output", str(tmp_path))

    assert done.code == 2
    assert option in done.error
    assert not list(tmp_path.iterdir())


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    done = deploy("nginx", *TARGETS["nginx"], "--certificate", "/etc/c.pem", "--output", str(tmp_path))

    assert (done.code, "go together" in done.error) == (2, True)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    venv = str(Path(sys.executable).parent.parent)
    done = deploy("systemd", "--venv", venv, "--user", "daemon", "--output", str(tmp_path), "--json")
    assert done.code == 0, done.error

    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "tollkeeper.service")],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_what_the_unit_starts_is_a_command_of_ours(tmp_path: Path) -> None:
    deploy(
        "systemd", "--home", "/srv/home", "--config", "/srv/t.toml", "--gate-port", "9090", "--output", str(tmp_path)
    )
    unit = (tmp_path / "tollkeeper.service").read_text("utf-8")
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    program, *arguments = line.removeprefix("ExecStart=").split()

    assert program == f"{sys.prefix}/bin/tollkeeper"
    assert arguments == ["serve", "--config", "/srv/t.toml", "--home", "/srv/home", "--port", "9090"]
    assert "ReadWritePaths=/srv/home" in unit


def test_hadolint_has_nothing_to_say_of_the_image(tmp_path: Path) -> None:
    hadolint = linter("hadolint")
    deploy("docker", "--output", str(tmp_path))

    done = subprocess.run([hadolint, str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_user_of_its_own_and_starts_a_command_of_ours(tmp_path: Path) -> None:
    deploy("docker", "--home", "/data", "--gate-port", "9090", "--output", str(tmp_path))
    lines = (tmp_path / "Dockerfile").read_text("utf-8").splitlines()

    assert "USER 10001" in lines
    command = json.loads(next(line for line in lines if line.startswith("CMD ")).removeprefix("CMD "))
    assert command[:3] == ["serve", "--home", "/data"]
    assert command[-2:] == ["--port", "9090"]
    ignored = (tmp_path / ".dockerignore").read_text("utf-8").splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    assert all(f"!{each}" in ignored for each in copied)
    assert all((Path(__file__).parent.parent.parent / each).exists() for each in copied)


def test_the_files_for_an_image_are_to_be_copied_to_the_source_unless_they_are_there(tmp_path: Path) -> None:
    elsewhere = deploy("docker", "--output", str(tmp_path), "--json").json()["run"]
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "run.txt").touch()
    there = deploy("docker", "--output", str(tmp_path), "--force", "--json").json()["run"]

    assert elsewhere[0].startswith("cp Dockerfile compose.yaml .dockerignore CHECKOUT/ && cd CHECKOUT")
    assert elsewhere[1:] == there


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    python = linter("python")
    deploy("docker", "--output", str(tmp_path))
    read = (
        "import sys, json, yaml; from compose_spec import ComposeSpecification as S;"
        " read = yaml.safe_load(open(sys.argv[1])); S.model_validate(read); print(json.dumps(read))"
    )

    done = subprocess.run(
        [python, "-c", read, str(tmp_path / "compose.yaml")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    gate: dict[str, Any] = json.loads(done.stdout)["services"]["gate"]
    assert gate["ports"] == ["127.0.0.1:9080:9080"]
    assert (gate["read_only"], gate["cap_drop"], gate["env_file"]) == (True, ["ALL"], ["./tollkeeper.env"])


def test_words_pass_as_they_come_through_nginx_and_pages_find_their_own_address(tmp_path: Path) -> None:
    nginx, _ = program("nginx"), program("openssl")
    first, *rest = chat_events(["one", "two"], usage_of(7, 2))
    step = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        step.wait(30)
        connection.chunk(b"".join(rest))
        connection.end()

    with ScriptedUpstream(script) as upstream, open_folder() as folder:
        config = f'[providers.up]\nkind = "openai"\nbase_url = "{upstream.url}"\n[models.m]\ntargets = ["up/m"]\n'
        config += '[apis.greet]\nmodel = "m"\n'
        with running_gate(tmp_path, config) as gate:
            port = free_port()
            shown = str(certificate(folder, "DNS:localhost"))
            arguments = ["--domain", "localhost", "--port", str(port), "--gate-port", str(gate.port)]
            arguments += ["--certificate", shown, "--certificate-key", shown]
            assert deploy("nginx", *arguments, "--output", str(folder)).code == 0
            main = folder / "nginx.conf"
            user = "user www-data;" if os.getuid() == 0 else ""
            main.write_text(NGINX.format(folder=folder, user=user), "ascii")
            command = [nginx, "-c", str(main), "-e", str(folder / "error.log"), "-p", str(folder)]
            with running(command, port, folder / "output"):
                with _secured(port, shown) as client:
                    _stream_in_steps(client, gate, step)
                with _secured(port, shown) as client:
                    client.send(f"GET /docs HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n".encode())
                    client.read_until(f"https://localhost:{port}/greet".encode())
                with _secured(port, shown) as client:
                    names = f"host: localhost:{port}\r\norigin: https://localhost:{port}\r\n"
                    key = f"authorization: Bearer {gate.new_key()}\r\n"
                    client.send(f"GET /ws HTTP/1.1\r\n{names}{key}{UPGRADE}\r\n".encode())
                    client.read_until(b"HTTP/1.1 101 ")


def _secured(port: int, shown: str) -> RawClient:
    """Over TLS, to a server with that certificate."""
    client = RawClient(port)
    client.sock = ssl.create_default_context(cafile=shown).wrap_socket(client.sock, server_hostname="localhost")
    return client


def _stream_in_steps(client: RawClient, gate: GateProcess, step: threading.Event) -> None:
    body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {gate.new_key()}\r\n"
    client.send(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    client.read_until(b"one")
    assert b"two" not in client.received
    step.set()
    client.read_until(b"[DONE]")
    (event,) = gate.events_once(1)
    assert event["output_tokens"] == 2
