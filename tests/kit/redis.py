"""Redis servers for the time of a `with`, where one is installed: alone, as a cluster, watched over by a sentinel."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from kit.servers import free_port, program, running
from kit.vitals import becomes

PASSWORD = "open sesame"
MASTER = "counters"


@contextlib.contextmanager
def redis_server(folder: Path, password: str = PASSWORD, *more: str) -> Iterator[int]:
    """Its port. What it has is forgotten."""
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--requirepass", password, "--masterauth", password, "--repl-diskless-sync-delay", "0"]
    command += ["--dir", str(folder), *more]
    with running(command, port, folder / f"redis-{port}.log"):
        yield port


@contextlib.contextmanager
def redis_cluster(folder: Path) -> Iterator[Sequence[int]]:
    """The ports of three servers, of which each has a third of the slots."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(3):
            bus = free_port()
            own = folder / str(bus)
            own.mkdir()
            ports.append(stack.enter_context(redis_server(own, PASSWORD, *_CLUSTERED, "--cluster-port", str(bus))))
            said(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(ports[-1]), str(bus))
        for number, port in enumerate(ports):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            said(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for port in ports:
            assert becomes(partial(_knows, port, ports), 30)
        yield ports


def _knows(port: int, others: Sequence[int]) -> bool:
    nodes, state = said(port, "CLUSTER", "NODES"), said(port, "CLUSTER", "INFO")
    known = "cluster_state:ok" in state and "cluster_slots_assigned:16384" in state
    return known and all(f":{each}@" in nodes for each in others)


_CLUSTERED = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")


@contextlib.contextmanager
def redis_watched(folder: Path) -> Iterator[tuple[int, int, int]]:
    """The ports of a sentinel, of the master that it knows as `counters`, and of its replica."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server(folder))
        replica = stack.enter_context(redis_server(folder, PASSWORD, "--replicaof", f"127.0.0.1 {master}"))
        assert becomes(lambda: "master_link_status:up" in said(replica, "INFO", "replication"), 30)
        port = free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass watching\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 1\nsentinel auth-pass {MASTER} '{PASSWORD}'\n"
        )
        command = [program("redis-server"), str(config), "--sentinel"]
        stack.enter_context(running(command, port, folder / "sentinel.log"))
        assert becomes(lambda: f"{replica}" in said(port, "SENTINEL", "replicas", MASTER, password="watching"), 30)
        yield port, master, replica


def said(port: int, *words: str, password: str = PASSWORD) -> str:
    """What a server answers to one command, as its own command line client shows it."""
    command = [program("redis-cli"), "-p", str(port), "--no-auth-warning", "-a", password, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
