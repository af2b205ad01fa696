"""What clients whose headers trickle in do to the calls of others: row 13 of docs/reliability.md, as a figure."""

import contextlib
import socket
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

from bench import calls, wrk
from bench.latency import Latency
from bench.servers import Server

SLOW = 1000
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nslow: "
_SECONDS_A_BYTE = 10.0
_TURNS = 100
"""Parts of them that get their byte one after another."""


def alternate(folder: Path, server: Server, rounds: int, seconds: float) -> list[Latency]:
    """Small calls on one connection, by turns alone and beside the slow: the medians of the rounds' percentiles."""
    found: dict[str, list[wrk.Found]] = {"alone": [], f"beside {SLOW:,} slow clients": []}
    wrk.run(folder, server.port, server.key, calls.small(), 1, 1)
    for _ in range(rounds):
        for name, runs in found.items():
            with _slow(server.port) if name != "alone" else contextlib.nullcontext():
                runs.append(wrk.run(folder, server.port, server.key, calls.small(), seconds, 1))
    return [
        Latency(
            f"{server.name}, {name}",
            statistics.median(run.p50 for run in runs),
            statistics.median(run.p99 for run in runs),
            sum(run.failed for run in runs),
        )
        for name, runs in found.items()
    ]


@contextlib.contextmanager
def _slow(port: int) -> Iterator[None]:
    """So many connections with a byte of a header each ten seconds; whichever is closed comes again."""
    stop = threading.Event()
    connections = [_opened(port) for _ in range(SLOW)]

    def trickle() -> None:
        turn = 0
        while not stop.wait(_SECONDS_A_BYTE / _TURNS):
            for place in range(turn, SLOW, _TURNS):
                try:
                    connections[place].send(b"a")
                    closed = bool(connections[place].recv(1))
                except BlockingIOError:
                    closed = False
                except OSError:
                    closed = True
                if closed:
                    connections[place].close()
                    connections[place] = _opened(port)
            turn = (turn + 1) % _TURNS

    trickling = threading.Thread(target=trickle)
    trickling.start()
    try:
        yield
    finally:
        stop.set()
        trickling.join()
        for connection in connections:
            connection.close()


def _opened(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.setblocking(False)
    connection.send(_HEAD)
    return connection
