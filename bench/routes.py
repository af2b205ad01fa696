"""`python -m bench.routes`: what a small request to an ordinary route with key-auth and limit-count costs beside nginx."""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench import calls, servers
from bench.processes import first_line, running
from bench.servers import REPOSITORY, Server
from bench.workloads import json_calls

ROUTES = """
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


def main() -> int:
    """Three rounds of two seconds, in turn; prints the median of CPU microseconds a request."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers.mock(folder) as mock, servers.nginx(folder, mock.port) as nginx:
            (folder / "tollkeeper.toml").write_text(ROUTES.format(mock=mock.port), "utf-8")
            command = [sys.executable, "-m", "tollkeeper", "serve", "--port", "0", "--operator-port", "0", "--json"]
            command += ["--home", str(folder / "home"), "--config", str(folder / "tollkeeper.toml")]
            log = folder / "gate.log"
            with running(command, log, cwd=REPOSITORY) as process:
                port = int(json.loads(first_line(process, log))["gate"].rpartition(":")[2])
                gate = Server("tollkeeper", port, process.pid, "bench")
                measure = json_calls(calls.small())
                found: dict[str, list[float]] = {"nginx": [], "tollkeeper": []}
                for _ in range(3):
                    for server in (nginx, gate):
                        sample = measure(folder, server, 2)
                        if sample.failed:
                            print(f"{server.name}: {sample.failed} failed", file=sys.stderr)
                            return 1
                        found[server.name].append(sample.micros)
    medians = {name: statistics.median(values) for name, values in found.items()}
    print(json.dumps({**medians, "times_nginx": medians["tollkeeper"] / medians["nginx"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
