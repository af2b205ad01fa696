"""Certificates made on the spot, and a scripted upstream that shows one."""

import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

from kit.scripted import Script, ScriptedUpstream


def certificate(folder: Path, name: str, *, expired: bool = False) -> Path:
    """A self-signed certificate for `name` (`IP:127.0.0.1`, `DNS:…`), its key in the same file. Needs openssl."""
    key, file = folder / "key.pem", folder / f"{name.replace(':', '-')}{'-expired' * expired}.pem"
    options = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test -keyout"
    request = _openssl([*options.split(), str(key)])
    names = folder / "names"
    names.write_text(f"subjectAltName={name}\n", "ascii")
    signed = _openssl(
        ["x509", "-req", "-signkey", str(key), "-days", "-1" if expired else "1", "-extfile", str(names)], request
    )
    file.write_bytes(signed + key.read_bytes())
    return file


def _openssl(arguments: list[str], text: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=text, capture_output=True, check=True).stdout


class TlsUpstream(ScriptedUpstream):
    """Speaks TLS with this certificate."""

    def __init__(self, script: Script, shown: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(shown)
        super().__init__(script)
        self.url = self.url.replace("http://", "https://")

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError), self._context.wrap_socket(sock, server_side=True) as secured:
            super()._serve(secured)
