"""wscat, the WebSocket client of many a terminal, from an environment of its own."""

import os
import shutil
import subprocess

import pytest

from clients.environments import NODE_MODULES

WSCAT = NODE_MODULES / "wscat" / "bin" / "wscat"
needs_wscat = pytest.mark.skipif(
    not WSCAT.exists() or shutil.which("node") is None, reason="scripts/setup-clients has not run: wscat is missing"
)


def wscat(url: str, ask: str, last: str, *options: str) -> list[str]:
    """The lines that it prints for one message, up to one with `last` in it. Its own input stays open, as at a terminal."""
    command = ["node", str(WSCAT), "--no-color", "-x", ask, "-w", "60", "-c", url, *options]
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip().removeprefix("<").strip())
            if last in line:
                break
        process.terminate()
    return [line for line in lines if line]
