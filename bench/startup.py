"""How long the gate takes from the start of its process to the first call answered, and what an install of it weighs."""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench import calls, servers
from bench.processes import Unready, free_port

_PATIENCE = 30.0
_NOT_OURS = {"pip", "setuptools", "wheel"}


class Install(Struct, frozen=True):
    """The packages that a default install needs."""

    packages: int
    megabytes: float


def seconds_to_first_answer(folder: Path, mock_port: int, rounds: int) -> float:
    """The median over starts on a home that has a key already."""
    folder = folder / "start"
    folder.mkdir()
    with servers.tollkeeper(folder, mock_port) as gate:
        key = gate.key
    return statistics.median(_one_start(folder, mock_port, key) for _ in range(rounds))


def _one_start(folder: Path, mock_port: int, key: str) -> float:
    port = free_port()
    started = time.perf_counter()
    with servers.tollkeeper_process(folder, mock_port, port):
        while (took := time.perf_counter() - started) < _PATIENCE:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("POST", "/v1/chat/completions", calls.small(), calls.headers(key))
                if connection.getresponse().status == 200:
                    return time.perf_counter() - started
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.005)
    raise Unready(f"no answer within {took:.0f} s")


def install() -> Install:
    """Installs requirements/run.txt into a new environment, with its hashes, and weighs what came, compiled files too."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-install-") as name:
        python = Path(name) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", name], check=True)
        before = _bytes_below(Path(name) / "lib")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        requirements = str(servers.REPOSITORY / "requirements" / "run.txt")
        subprocess.run([*pip, "install", "-qq", "--require-hashes", "--requirement", requirements], check=True)
        listed = json.loads(subprocess.run([*pip, "list", "--format=json"], capture_output=True, check=True).stdout)
        packages = sum(1 for package in listed if package["name"].lower() not in _NOT_OURS)
        added = _bytes_below(Path(name) / "lib") - before
    own = _bytes_below(servers.REPOSITORY / "src" / "tollkeeper")
    return Install(packages + 1, (added + own) / 1e6)


def _bytes_below(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
