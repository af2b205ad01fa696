"""Measures rows a second of `tollkeeper run`, journal and ledger on disk, beside the tutorial's semaphore and HTTP client.

    .venv/bin/python -m bench.bulk [--rows 20000] [--concurrency 100] [--rounds 1] [--tutorial PYTHON]

Both ask one provider on the loopback interface that answers at once, in turn, each on the same core, so many rows at once
at most. `--tutorial` is a Python that has aiohttp; without it only ours is measured.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

from bench.answers import completion

TUTORIAL = Path(__file__).with_name("bulk_tutorial.py")
CONFIG = """
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 2 }}
"""


class _Provider(asyncio.Protocol):
    """Answers each request at once; knows as much HTTP as that takes."""

    def __init__(self, asked: asyncio.Event) -> None:
        self._asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        self._asked.set()
        data = self._kept + data
        while True:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                break
            at = data[:head].lower().find(b"content-length:")
            end = head + 4 + int(data[at + 15 : head].split(b"\r\n", 1)[0])
            if len(data) < end:
                break
            data = data[end:]
            self._transport.write(_ANSWER)
        self._kept = data


_BODY = completion().partition(b"\r\n\r\n")[2]
"""Without the headers: a provider that tells of 10,000 requests a minute would be asked no more."""
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


def _core() -> int:
    """Where those who are measured run."""
    return max(os.sched_getaffinity(0))


def provide(said: "multiprocessing.Queue[float]") -> None:
    """Serves until it is ended; says its port, and then the moment of the first request (monotonic seconds).

    Not on the core of those who ask: left to itself, the system moves it to who wakes it, and there it takes its share.
    """
    others = os.sched_getaffinity(0) - {_core()}
    if others:
        os.sched_setaffinity(0, others)

    async def serve() -> None:
        asked = asyncio.Event()
        server = await asyncio.get_running_loop().create_server(lambda: _Provider(asked), "127.0.0.1", 0)
        said.put(server.sockets[0].getsockname()[1])
        await asked.wait()
        said.put(time.monotonic())
        await server.serve_forever()

    uvloop.run(serve())


def write_input(path: Path, rows: int) -> None:
    """A file of that many short prompts."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f'{{"prompt": "Name a fruit that begins like {number}."}}\n' for number in range(rows))


def measured(command: list[str], folder: Path, rows: int, core: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a command that ends well; on one core."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        ["taskset", "-c", str(core), *command], cwd=folder, capture_output=True, check=False, timeout=600
    )
    took, after = time.monotonic() - began, os.times()
    if done.returncode:
        sys.exit(f"{command} failed: {done.stderr.decode()[-500:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return took, cpu


@contextlib.contextmanager
def prepared(rows: int) -> "Iterator[tuple[Path, int, multiprocessing.Queue[float]]]":
    """A folder with so many rows and a config, the port of the provider that runs meanwhile, and its words."""
    said: multiprocessing.Queue[float] = multiprocessing.Queue()
    provider = multiprocessing.Process(target=provide, args=(said,), daemon=True)
    provider.start()
    try:
        port = int(said.get(timeout=30))
        with tempfile.TemporaryDirectory(prefix="tollkeeper-bulk-") as name:
            folder = Path(name)
            (folder / "tollkeeper.toml").write_text(CONFIG.format(port=port), "utf-8")
            write_input(folder / "in.jsonl", rows)
            yield folder, port, said
    finally:
        provider.kill()


def main() -> None:
    """Prints rows a second and CPU microseconds a row, start and export included; of several rounds the medians, too."""
    options = argparse.ArgumentParser(prog="bench.bulk", description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--concurrency", type=int, default=100)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--tutorial", help="a Python that has aiohttp")
    given = options.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(given.rounds):
        with prepared(given.rows) as (folder, port, _):
            at_once = str(given.concurrency)
            job = ["run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--home", "home", "--concurrency", at_once]
            commands = {"tollkeeper run": [sys.executable, "-m", "tollkeeper", *job]}
            if given.tutorial:
                tutorial = [given.tutorial, str(TUTORIAL), str(port), "in.jsonl", "tutorial.jsonl", at_once]
                commands["semaphore and aiohttp"] = tutorial
            for what, command in commands.items():
                took, cpu = measured(command, folder, given.rows, _core())
                found.setdefault(what, []).append((given.rows / took, cpu / given.rows * 1e6))
                print(_line(what, *found[what][-1]))
    if given.rounds > 1:
        for what, each in found.items():
            print(_line(f"{what}, medians", *map(statistics.median, zip(*each, strict=True))))


def _line(what: str, rate: float, cpu: float) -> str:
    return f"{what}: {rate:,.0f} rows/s, {cpu:,.0f} µs of CPU a row"


if __name__ == "__main__":
    main()
