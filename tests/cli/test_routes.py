"""`tollkeeper routes`, beside a running gate."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.waiting import until

MOCKED = {"plugins": {"mocking": {"response_example": "one", "content_type": "text/plain"}}}


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[GateProcess]:
    with running_gate(tmp_path) as running:
        yield running


def body_once(gate: GateProcess, path: str, wanted: bytes, seconds: float = 20) -> bytes:
    """What the gate answers, when it is what is wanted or time is up."""
    end = time.monotonic() + seconds
    while (found := request("GET", gate.url + path, {})[2]) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_a_file_is_applied_shown_and_undone_while_the_gate_runs(routed: GateProcess, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(json.dumps({"routes": [{"id": "1", "uri": "/one", **MOCKED}]}), "utf-8")

    dry = routed.command("routes", "apply", str(file), "--dry")
    assert dry["revision"] is None
    assert dry["difference"][0] == "+ routes/1"
    assert routed.command("routes", "list") == {}

    number = routed.command("routes", "apply", str(file))["revision"]
    assert body_once(routed, "/one", b"one") == b"one"
    assert routed.command("routes", "list")["routes"]["1"]["uri"] == "/one"
    assert routed.command("routes", "apply", str(file))["revision"] is None

    [revision] = routed.command("routes", "history")
    assert (revision["number"], revision["face"], revision["what"]) == (number, "cli", "apply routes.yaml")
    assert "+ routes/1" in routed.command("routes", "diff", str(number))["difference"]

    undone = routed.command("routes", "undo", str(number))
    assert undone["what"] == f"undo {number}"
    assert until(lambda: request("GET", routed.url + "/one", {})[2] != b"one")


def test_toml_is_applied_too_and_what_is_wrong_with_it_is_said(routed: GateProcess, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[routes.a]\nuri = "/a"\nplugins.no-such = {}\n', "utf-8")
    with pytest.raises(AssertionError, match=r"unknown plugin \[no-such\]"):
        routed.command("routes", "apply", str(file))

    file.write_text('[routs.a]\nuri = "/a"\n', "utf-8")
    with pytest.raises(AssertionError, match="routs: there is no such kind"):
        routed.command("routes", "apply", str(file))

    file.write_text(
        '[routes.a]\nuri = "/a"\nplugins.mocking = { response_example = "a", content_type = "text/plain" }\n'
    )
    routed.command("routes", "apply", str(file))
    assert body_once(routed, "/a", b"a") == b"a"
