"""wscat, the WebSocket client of many a terminal, against the gate's socket."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from clients.environments import NODE_MODULES
from kit.gate import GateProcess, running_gate

WSCAT = NODE_MODULES / "wscat" / "bin" / "wscat"
needs_wscat = pytest.mark.skipif(
    not WSCAT.exists() or shutil.which("node") is None, reason="scripts/setup-clients has not run: wscat is missing"
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), "", {}, "--demo") as running:
        yield running


def wscat(gate: GateProcess, last: str, *options: str) -> list[str]:
    """The lines that it prints for one message, up to one with `last` in it. Its own input stays open, as at a terminal."""
    ask = json.dumps({"action": "sendmessage", "data": "こんにちは"}, ensure_ascii=False)
    command = [
        "node",
        str(WSCAT),
        "--no-color",
        "-x",
        ask,
        "-w",
        "60",
        "-c",
        f"ws://127.0.0.1:{gate.port}/ws",
        *options,
    ]
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip().removeprefix("<").strip())
            if last in line:
                break
        process.terminate()
    return [line for line in lines if line]


@needs_wscat
def test_wscat_receives_the_fragments_as_plain_text(gate: GateProcess) -> None:
    lines = wscat(gate, "counted.", "-H", f"Authorization: Bearer {gate.about['demo_key']}")

    assert lines[:3] == ["You", "said:", "こんにちは."]
    assert lines[-1] == "counted."


@needs_wscat
def test_wscat_gives_its_key_as_a_subprotocol(gate: GateProcess) -> None:
    key = gate.about["demo_key"]
    lines = wscat(gate, '"done"', "-s", "tollkeeper.v1.json", "-s", f"tollkeeper.key.{key}")

    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds[0] == "start"
    assert kinds[-2:] == ["usage", "done"]
