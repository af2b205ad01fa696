"""What else people use, before the same mock: bare aiohttp, FastAPI with httpx as in a tutorial, and LiteLLM's proxy."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import calls
from bench.processes import Unready, free_port, running
from bench.servers import REPOSITORY, Server

PEERS = REPOSITORY / ".peers"
_PACKAGES = ["aiohttp", "fastapi", "uvicorn[standard]", "httpx", "litellm[proxy]"]
_PATIENCE = 120.0
_KEY = "sk-bench"
_LITELLM = """
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{ model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{mock}/v1", api_key: x }}
general_settings: {{ master_key: {key} }}
"""


def ready() -> None:
    """Makes .peers where it is not there; packages as of today, not locked: they are not ours."""
    if not (PEERS / "bin" / "litellm").exists():
        print("Installing the peers into .peers (once, some minutes) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *_PACKAGES], check=True)


def versions() -> str:
    """The peers' own versions."""
    names = ("aiohttp", "fastapi", "httpx", "litellm")
    code = f"from importlib.metadata import version; print(*(name + ' ' + version(name) for name in {names}))"
    done = subprocess.run([str(PEERS / "bin" / "python"), "-c", code], capture_output=True, check=True, text=True)
    return done.stdout.strip()


@contextlib.contextmanager
def pass_through(folder: Path, mock_port: int) -> Iterator[Server]:
    """aiohttp on both sides and nothing between them: what Python costs on this machine before a gate does anything."""
    port = free_port()
    upstream = {"BENCH_UPSTREAM": f"http://127.0.0.1:{mock_port}/v1/chat/completions"}
    with _started(folder / "pass_through.log", port, ["-m", "bench.pass_through", str(port)], upstream) as pid:
        yield Server("aiohttp, bare", port, pid, _KEY)


@contextlib.contextmanager
def tutorial(folder: Path, mock_port: int) -> Iterator[Server]:
    """FastAPI and httpx, one uvicorn worker."""
    port = free_port()
    command = ["-m", "uvicorn", "bench.tutorial:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    upstream = {"BENCH_UPSTREAM": f"http://127.0.0.1:{mock_port}/v1/chat/completions", "BENCH_KEY": _KEY}
    with _started(folder / "tutorial.log", port, command, upstream) as pid:
        yield Server("FastAPI and httpx", port, pid, _KEY)


@contextlib.contextmanager
def litellm(folder: Path, mock_port: int) -> Iterator[Server]:
    """LiteLLM's proxy: one worker, no database."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM.format(mock=mock_port, key=_KEY), "utf-8")
    command = [str(PEERS / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1", "--telemetry", "False"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with _started(folder / "litellm.log", port, command, local) as pid:
        yield Server("LiteLLM proxy", port, pid, _KEY)


@contextlib.contextmanager
def _started(log: Path, port: int, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[int]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")} | dict(variables)
    python = str(PEERS / "bin" / "python")
    with running([python, *command], log, environment=environment, cwd=REPOSITORY, talks=False) as process:
        until = time.monotonic() + _PATIENCE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise Unready(f"{command} does not answer:\n{log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.1)
        yield process.pid


def _answers(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, calls.small(), calls.headers(_KEY)), timeout=10
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
