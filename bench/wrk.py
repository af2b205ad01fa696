"""Runs wrk, the load of JSON calls, and reads what it found."""

import json
import subprocess
from pathlib import Path

from msgspec import Struct

from bench import calls

_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"micros":%d,"failed":%d,"p50":%f,"p99":%f}\\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50),
    latency:percentile(99)))
end
"""


class Found(Struct, frozen=True):
    """One run of wrk; times in microseconds."""

    requests: int
    micros: int
    failed: int
    p50: float
    p99: float


def run(
    folder: Path, port: int, key: str, body: bytes, seconds: float, connections: int, path: str = calls.PATH
) -> Found:
    """A load of the same call over and over."""
    (folder / "body").write_bytes(body)
    lines = ['wrk.method = "POST"', f'wrk.body = io.open("{folder}/body", "rb"):read("*a")']
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in calls.headers(key).items()]
    script = folder / "post.lua"
    script.write_text("\n".join(lines) + _DONE, "utf-8")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        timeout=seconds + 60,
        check=True,
    )
    return Found(**json.loads(done.stdout.decode().strip().splitlines()[-1]))
