"""A Redis server for the time of a `with`, where one is installed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kit.servers import free_port, program, running


@contextlib.contextmanager
def redis_server(folder: Path, password: str) -> Iterator[int]:
    """Its port. What it has is forgotten."""
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--requirepass", password, "--dir", str(folder)], port, folder / "redis.log"):
        yield port
