"""A `tollkeeper` for a shell's PATH that runs as a copy (copies.py): a page has many commands, and imports take long."""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType

from kit.copies import start

_COMMAND = """#!/bin/sh
exec '{python}' -ISc '
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect(b"\\0" + b"{name}")
what = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(asked, [json.dumps(what).encode()], [0, 1, 2])
code = int(asked.recv(100))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
' "$@"
"""


class Typed:
    """Writes the command into a folder, which it makes, and does what is asked of it for the time of a `with`."""

    def __init__(self, folder: Path) -> None:
        name = f"tollkeeper-{secrets.token_hex(8)}"
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(b"\0" + name.encode())  # no file: a test's folder has too long a path for one
        self._listening.listen()
        folder.mkdir()
        command = folder / "tollkeeper"
        command.write_text(_COMMAND.format(python=sys.executable, name=name), "utf-8")
        command.chmod(0o755)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> "Typed":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(30)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was shut down
            while True:
                asked, _ = self._listening.accept()
                threading.Thread(target=_do, args=(asked,), daemon=True).start()


def _do(asked: socket.socket) -> None:
    with asked, contextlib.suppress(BrokenPipeError):  # who asked has been ended meanwhile
        message, files, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        what = json.loads(message)
        process = start(
            *what["arguments"],
            folder=Path(what["folder"]),
            environment=what["environment"],
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
        )
        for file in files:
            os.close(file)
        asked.send(str(process.wait()).encode())
