"""What it costs to have many routes: to load them, to find one, to change one.

CPU time, where others share the machine; the time until a change is effective can only be the clock's, and is the best,
median and worst of many.
"""

import http.client
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import cpu_seconds, first_line, running
from bench.servers import REPOSITORY
from tollkeeper import plugins
from tollkeeper.core.patterns import Patterns
from tollkeeper.routes.exchange import Exchange, Request
from tollkeeper.routes.headers import Headers
from tollkeeper.routes.registry import Registry
from tollkeeper.routes.table import Table

COUNTS = (10, 1_000, 10_000)
FINDS = 20_000
CHANGES = 30


def measure() -> dict[str, float]:
    """By the name of the figure, which ends with its unit or with how many routes there were."""
    found = {f"find_us_{count}": round(find_micros(count), 2) for count in COUNTS}
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-") as name:
        folder = Path(name)
        with gate(folder) as (pid, about):
            found["load_cpu_seconds_10000"] = round(spent_loading(pid, about, folder), 2)
            times = sorted(1000 * seconds for seconds in effective_seconds(about, folder))
            found |= {
                "effective_ms_best": round(times[0], 1),
                "effective_ms_median": round(statistics.median(times), 1),
                "effective_ms_worst": round(times[-1], 1),
            }
        with gate(folder) as (pid, _):
            with_routes = cpu_seconds(pid)
        with gate(folder / "empty") as (pid, _):
            found["start_cpu_seconds_10000"] = round(with_routes - cpu_seconds(pid), 2)
    return found


def table(found: dict[str, float]) -> str:
    """To read."""
    return "\n".join(["many routes", *(f"  {name:50} {value:>10,.2f}" for name, value in found.items())])


def value(number: int) -> dict[str, Any]:
    """One of many routes: at a host or everywhere, for a path or all below it."""
    route: dict[str, Any] = {
        "uris": [f"/api/{number}/*", f"/exact/{number}"],
        "plugins": {"mocking": {"response_example": "x"}},
    }
    return route | ({"host": f"h{number % 100}.example"} if number % 2 else {})


def find_micros(count: int) -> float:
    """Microseconds of CPU to find a route among `count`, exact paths and prefixes in turn."""
    table = Table(Registry(plugins, None), random.Random(1), time.monotonic, {}, Patterns())
    for number in range(count):
        table.put("routes", str(number), value(number))
    exchanges = [exchange(number * 7919 % count, number) for number in range(FINDS)]
    assert all(table.match(each) for each in exchanges)
    began = time.process_time()
    for each in exchanges:
        table.match(each)
    return (time.process_time() - began) / FINDS * 1e6


def exchange(route: int, number: int) -> Exchange:
    """A request to that route."""
    path = f"/exact/{route}" if number % 2 else f"/api/{route}/a/b"
    asked = Request(
        method="GET",
        path=path,
        query="",
        headers=Headers([(b"host", f"h{route % 100}.example".encode())]),
        client=("127.0.0.1", 40000),
        server=("127.0.0.1", 9080),
        body=b"",
        length=0,
    )
    return Exchange(asked, "01", 0.0)


@contextmanager
def gate(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A gate with its home in the folder: its process, and what it says of itself."""
    folder.mkdir(exist_ok=True)
    config = folder / "tollkeeper.toml"
    config.write_text('[log]\nformat = "json"\n', "utf-8")
    command = [sys.executable, "-m", "tollkeeper", "serve", "--port", "0", "--operator-port", "0", "--json"]
    command += ["--home", str(folder / "home"), "--config", str(config)]
    with running(command, folder / "gate.log", cwd=REPOSITORY) as process:
        yield process.pid, json.loads(first_line(process, folder / "gate.log"))


def spent_loading(pid: int, about: dict[str, Any], folder: Path) -> float:
    """CPU seconds of the gate to take 10,000 routes by REST: checked, on disk, in effect."""
    whole = {"routes": {str(number): value(number) for number in range(COUNTS[-1])}}
    before = cpu_seconds(pid)
    call(about["operator"], "PUT", "/api/routes", folder, whole)
    return cpu_seconds(pid) - before


def effective_seconds(about: dict[str, Any], folder: Path) -> Iterator[float]:
    """Seconds from the sending of a change by the Admin API to the first answer that shows it, among 10,000 routes."""
    for number in range(CHANGES):
        words = f"change {number}"
        route = {"uri": "/changed", "plugins": {"mocking": {"response_example": words}}}
        began = time.perf_counter()
        call(about["operator"], "PUT", "/apisix/admin/routes/changed", folder, route)
        while call(about["gate"], "GET", "/changed", folder) != words.encode():
            pass
        yield time.perf_counter() - began


def call(url: str, method: str, path: str, folder: Path, body: Any = None) -> bytes:
    """One request with the operator key; the answer's body. Raises RuntimeError where it is an error."""
    key = (folder / "home" / "operator.key").read_text("ascii").strip()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
    try:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"x-api-key": key, "content-type": "application/json"})
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status} {read[:300]!r}")
    return read
