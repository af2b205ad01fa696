"""Autobahn's WebSocket suite talks to an echoing upstream through the gate: both of its ends, every kind of frame."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from clients.environments import CLIENTS
from kit.gate import running_gate

WSTEST = CLIENTS / "autobahn" / "wstest"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not WSTEST.exists(), reason="scripts/setup-autobahn has not run: .clients/autobahn is missing"),
]

CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]

[routes.echo]
uri = "/echo"
enable_websocket = true
upstream = {{ nodes = {{ "127.0.0.1:{port}" = 1 }} }}

[websocket.limits]
message = 67108864
frames = 10000000
"""

OTHERWISE = {
    # The error is noticed in the same turn as what went before it: the connection is failed before that is echoed.
    **dict.fromkeys(("3.2", "3.3", "3.4", "5.15"), ("NON-STRICT", "OK")),
    **dict.fromkeys(("4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5"), ("NON-STRICT", "OK")),
    # Text that is not UTF-8 is noticed with its frame, not with its octet.
    **dict.fromkeys(("6.4.3", "6.4.4"), ("NON-STRICT", "OK")),
    # A close in the midst of a fragmented message is told 1002, incomplete fragmented message, where Autobahn wants 1000.
    "7.1.5": ("FAILED", "WRONG CODE"),
    # Autobahn judges nothing here, it only shows what is done.
    **dict.fromkeys(("7.1.6", "7.13.1", "7.13.2"), ("INFORMATIONAL", "INFORMATIONAL")),
    # Compression is not offered.
    **dict.fromkeys(("12.1.1", "13.1.1"), ("UNIMPLEMENTED", "OK")),
}
"""The cases that do not simply pass: (behaviour, behaviour at the close), in Autobahn's words."""


def echo(socket: ServerConnection) -> None:
    """Gives back what comes."""
    try:
        for message in socket:
            socket.send(message)
    except ConnectionClosed:
        pass  # many cases end with an error on purpose


def test_autobahn_s_cases_pass_or_are_listed_with_reasons(tmp_path: Path) -> None:
    with serve(echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = CONFIG.format(port=server.socket.getsockname()[1])
        with running_gate(tmp_path / "gate", config) as gate:
            spec = {
                "outdir": str(tmp_path / "found"),
                "servers": [{"agent": "gate", "url": f"ws://127.0.0.1:{gate.port}/echo"}],
                "cases": [*(f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)), "12.1.1", "13.1.1"],
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
            (tmp_path / "spec.json").write_text(json.dumps(spec), "utf-8")
            subprocess.run(
                [str(WSTEST), "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")],
                check=True,
                capture_output=True,
                timeout=900,
            )
        server.shutdown()

    cases: dict[str, dict[str, Any]] = json.loads((tmp_path / "found" / "index.json").read_text("utf-8"))["gate"]
    ended = {name: (case["behavior"], case["behaviorClose"]) for name, case in cases.items()}
    assert len(ended) > 300
    assert {name: end for name, end in ended.items() if end not in (("OK", "OK"), OTHERWISE.get(name))} == {}
