"""Providers that cannot be reached: an error of the right kind within the time, or another target's answer."""

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.outbound import answered, raw
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.tls import TlsUpstream, certificate

WELL = json_answer(200, chat_answer("well"))
PROVIDER = """
[providers.{name}]
kind = "openai"
base_url = "{url}"
api_key = "sk-secret-of-{name}"
timeouts = {{ connect = 1, first_byte = 2, idle = 2, total = 10 }}
[models."rescued-{name}"]
targets = ["{name}/m", "well/m"]
"""
NAMES = {
    "refusing": (502, "upstream_refused"),
    "blackhole": (504, "upstream_connect_timeout"),
    "nameless": (502, "upstream_unknown_host"),
    "plain": (502, "upstream_tls_failed"),
    "selfsigned": (502, "upstream_certificate_invalid"),
    "expired": (502, "upstream_certificate_invalid"),
    "stranger": (502, "upstream_certificate_invalid"),
}
NEEDS_OPENSSL = {"selfsigned", "expired", "stranger"}


class Places:
    """One place of each kind to send a call to, and whoever listens there."""

    def __init__(self, folder: Path) -> None:
        self.urls = {"nameless": "http://no-such-host.invalid/v1"}
        self.listeners: dict[str, ScriptedUpstream] = {}
        self._plain = socket.create_server(("127.0.0.1", 0))
        self.urls["plain"] = f"https://127.0.0.1:{self._plain.getsockname()[1]}/v1"
        threading.Thread(target=self._speak_plainly, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as gone:
            self.urls["refusing"] = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.urls["blackhole"] = f"http://127.0.0.1:{self._full.getsockname()[1]}/v1"
        self._crowd = [socket.socket() for _ in range(4)]
        for one in self._crowd:
            one.setblocking(False)
            one.connect_ex(self._full.getsockname())
        self.trusted = ""
        if shutil.which("openssl") is not None:
            shown = {
                "selfsigned": certificate(folder, "IP:127.0.0.1"),
                "expired": certificate(folder, "IP:127.0.0.1", expired=True),
                "stranger": certificate(folder, "DNS:api.example.com"),
            }
            for name, file in shown.items():
                self.listeners[name] = TlsUpstream(WELL, file)
                self.urls[name] = self.listeners[name].url
            trusted = folder / "trusted.pem"
            trusted.write_bytes(shown["expired"].read_bytes() + shown["stranger"].read_bytes())
            self.trusted = str(trusted)

    def _speak_plainly(self) -> None:
        """HTTP to whoever begins with TLS."""
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._plain.accept()
                with sock:
                    sock.recv(1)
                    sock.sendall(answered(b"what was that?", status="400 Bad Request"))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)
        for listener in self.listeners.values():
            listener.close()
        for sock in (*self._crowd, self._full, self._plain):
            sock.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    found = Places(tmp_path_factory.mktemp("certificates"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def gate(places: Places, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """Each place is a provider and, with one that is well behind it, a model."""
    config = "".join(PROVIDER.format(name=name, url=url) for name, url in places.urls.items())
    config += f'[providers.well]\nkind = "openai"\nbase_url = "{upstream.url}"\n[retry]\nbase = 0.01\nretries = 1\n'
    with running_gate(tmp_path_factory.mktemp("gate"), config, {"SSL_CERT_FILE": places.trusted}) as running:
        yield running


@pytest.mark.row(24)
@pytest.mark.parametrize("name", NAMES)
def test_a_provider_that_cannot_be_reached_is_an_error_in_time_that_tells_no_address(
    gate: GateProcess, places: Places, key: str, name: str
) -> None:
    if name not in places.urls:
        pytest.skip("no openssl here to make certificates with")
    began = time.monotonic()

    status, headers, body = gate.call("POST", "/v1/chat/completions", key, {"model": f"{name}/m", "messages": []})

    error = json.loads(body)["error"]
    assert (status, error["code"]) == NAMES[name]
    assert time.monotonic() - began < 25
    host = places.urls[name].partition("//")[2].partition("/")[0]
    for shown in (host, *host.split(":"), "secret", "invalid/v1"):
        assert shown not in body.decode() + str(headers)
    assert all(listener.requests == [] for listener in places.listeners.values())


@pytest.mark.row(24)
@pytest.mark.parametrize("name", NAMES)
def test_another_target_answers_for_one_that_cannot_be_reached(
    gate: GateProcess, places: Places, key: str, name: str
) -> None:
    if name not in places.urls:
        pytest.skip("no openssl here to make certificates with")

    status, headers, _ = gate.call("POST", "/v1/chat/completions", key, {"model": f"rescued-{name}", "messages": []})

    assert (status, headers["x-tollkeeper-model"]) == (200, "well/m")
    assert all(listener.requests == [] for listener in places.listeners.values())


@pytest.mark.row(36)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("method", "path"), [("POST", "chat/completions"), ("GET", "files/file-1/content")])
def test_a_redirection_is_not_followed(
    upstream: ScriptedUpstream, gate: GateProcess, key: str, status: int, method: str, path: str
) -> None:
    with ScriptedUpstream(WELL) as inner:
        upstream.script = raw(answered(b"", f"location: {inner.url}/secrets", status=f"{status} Found"))
        body = {"model": "well/m", "messages": []} if method == "POST" else None

        found, headers, said = gate.call(method, f"/v1/{path}", key, body, x_tollkeeper_provider="well")

        assert (found, json.loads(said)["error"]["code"]) == (502, "upstream_redirect")
        assert "location" not in headers
        assert str(inner.port) not in said.decode()
        assert inner.connections == 0
