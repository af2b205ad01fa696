"""TLS to providers: a certificate that cannot be verified ends the call, and nothing was said to its owner."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from kit.outbound import answered, fetch, run
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import UpstreamError
from tollkeeper.upstream.client import HttpClient

PATIENCE = Patience(connect=5, first_byte=5, idle=5, total=10)
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make certificates with")


def _certificate(folder: Path, name: str, days: int = 1) -> Path:
    """A self-signed certificate for `name`, its key in the same file."""
    file = folder / f"{name.replace(':', '-')}.pem"
    options = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=test"
    made = subprocess.run(
        ["openssl", *options.split(), "-addext", f"subjectAltName={name}", "-keyout", "-", "-out", "-"],
        capture_output=True,
        check=True,
    )
    file.write_bytes(made.stdout)
    return file


class Server:
    """A provider that says hello over TLS, or without where there is no certificate, and notes what it was asked."""

    def __init__(self, certificate: Path | None) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self._context = None
        if certificate is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(certificate)

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self._context is None:
                await reader.read(1)
                writer.write(answered(b"what was that?", status="400 Bad Request"))
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answered(b"hello"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.close()


def _refused(server: Server) -> UpstreamError:
    found: list[UpstreamError] = []

    async def test(client: HttpClient) -> None:
        async with server:
            with pytest.raises(UpstreamError) as raised:
                await fetch(client, server.url, PATIENCE)
            found.append(raised.value)

    run(test)
    return found[0]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server = Server(_certificate(tmp_path, "IP:127.0.0.1"))

    error = _refused(server)

    assert (error.status, error.code) == (502, "upstream_certificate_invalid")
    assert server.asked == []


def test_a_trusted_certificate_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path, "DNS:api.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(certificate)

    assert _refused(server).code == "upstream_certificate_invalid"
    assert server.asked == []


def test_a_provider_that_does_not_speak_tls_is_refused(tmp_path: Path) -> None:
    server = Server(None)

    assert _refused(server).code == "upstream_tls_failed"


def test_a_trusted_certificate_is_accepted_and_its_connection_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(certificate)

    async def test(client: HttpClient) -> None:
        async with server:
            for _ in range(3):
                assert await fetch(client, server.url, PATIENCE) == (200, b"hello")

    run(test)
    assert (server.connections, len(server.asked)) == (1, 3)
