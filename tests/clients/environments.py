"""The environments that scripts/setup-clients makes in .clients, and the marks that skip tests where one is missing."""

import atexit
import functools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CLIENTS = HERE.parent.parent / ".clients"
OPENAI028 = CLIENTS / "openai028" / "bin" / "python"
OPERATORS = CLIENTS / "operators" / "bin" / "python"
MCP1 = CLIENTS / "mcp1" / "bin" / "python"
NODE_MODULES = CLIENTS / "node" / "node_modules"
AIMOCK = NODE_MODULES / "@copilotkit" / "aimock" / "dist" / "cli.js"

HAS_NODE = shutil.which("node") is not None and AIMOCK.exists()
NO_NODE = "no Node 20.19 with npm here, or scripts/setup-clients has not run: .clients/node is missing"

needs_node = pytest.mark.skipif(not HAS_NODE, reason=NO_NODE)
needs_openai028 = pytest.mark.skipif(
    not OPENAI028.exists(), reason="scripts/setup-clients has not run: .clients/openai028 is missing"
)
needs_operators = pytest.mark.skipif(
    not OPERATORS.exists(), reason="scripts/setup-clients has not run: .clients/operators is missing"
)
needs_mcp1 = pytest.mark.skipif(not MCP1.exists(), reason="scripts/setup-clients has not run: .clients/mcp1 is missing")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
PATIENCE = 120.0
"""Seconds that a client has: its imports alone take some, and a machine may stand still meanwhile."""


def run(
    command: list[str], environment: Mapping[str, str], given: str = "", seconds: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Runs a client to its end, with nothing in its environment that could lead it elsewhere."""
    return subprocess.run(
        command, input=given, capture_output=True, text=True, env=_clean(environment), timeout=seconds, check=False
    )


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "AZURE_"))}
    without_proxies = {name: value for name, value in clean.items() if not name.lower().endswith("_proxy")}
    return {**without_proxies, "NODE_PATH": str(NODE_MODULES), **environment}


def answer_of(
    command: list[str], job: Mapping[str, Any], environment: Mapping[str, str], seconds: float = PATIENCE
) -> Any:
    """What a client's script prints for one job, which it is given on stdin: JSON both ways."""
    done = run(command, environment, json.dumps(job), seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def openai_028(job: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """What openai_028.py prints for one job: the client is imported for each job, what it imports only once."""
    process = _kept(str(OPENAI028), str(HERE / "copying.py"), "numpy", "requests", "aiohttp")
    script = str(HERE / "openai_028.py")
    done = _answer(process, {"script": script, "environment": _clean(environment), "given": json.dumps(job)})
    assert done["code"] == 0, done["error"]
    return json.loads(done["out"])


def openai_node(job: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """What the client for Node makes of one job: a client for each job, in one process."""
    return _answer(_kept("node", str(HERE / "node" / "calls.cjs")), {**job, "environment": environment})


def _answer(process: subprocess.Popen[str], asked: Mapping[str, Any]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    if not select.select([process.stdout], [], [], PATIENCE)[0]:
        process.kill()
        raise TimeoutError(f"no answer in {PATIENCE} s")
    return json.loads(process.stdout.readline())


@functools.cache
def _kept(*command: str) -> subprocess.Popen[str]:
    """A process that does one job after another, until the tests end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_clean({}), text=True)
    atexit.register(process.communicate)
    return process
