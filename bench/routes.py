"""A gate with an ordinary route before the mock: key-auth and limit-count, what a team puts before an API first."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.processes import first_line, running
from bench.servers import REPOSITORY, Server

_CONFIG = """
[log]
format = "json"

[routing]
allow_nodes = ["127.0.0.0/8"]

[consumers.bench]
plugins.key-auth = {{ key = "Bearer bench" }}

[routes.calls]
uri = "/v1/*"
plugins.key-auth = {{ header = "authorization" }}
plugins.limit-count = {{ count = 1000000000, time_window = 3600, key = "consumer_name" }}
upstream = {{ nodes = {{ "127.0.0.1:{mock}" = 1 }} }}
"""
WORDS = "small JSON through a route with key-auth and limit-count"


@contextlib.contextmanager
def gate(folder: Path, mock_port: int) -> Iterator[Server]:
    """Ready to be measured."""
    folder = folder / "routes"
    folder.mkdir()
    config = folder / "tollkeeper.toml"
    config.write_text(_CONFIG.format(mock=mock_port), "utf-8")
    command = [sys.executable, "-m", "tollkeeper", "serve", "--port", "0", "--operator-port", "0", "--json"]
    command += ["--home", str(folder / "home"), "--config", str(config)]
    log = folder / "gate.log"
    with running(command, log, cwd=REPOSITORY) as process:
        port = int(json.loads(first_line(process, log))["gate"].rpartition(":")[2])
        yield Server("tollkeeper", port, process.pid, "bench")
