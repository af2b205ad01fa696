"""wscat, the WebSocket client of many a terminal, against the gate's socket."""

import json
from collections.abc import Iterator

import pytest

from clients.wscat import needs_wscat, wscat
from kit.gate import GateProcess, running_gate

ASK = json.dumps({"action": "sendmessage", "data": "こんにちは"}, ensure_ascii=False)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), "", {}, "--demo") as running:
        yield running


def url(gate: GateProcess) -> str:
    return f"ws://127.0.0.1:{gate.port}/ws"


@needs_wscat
def test_wscat_receives_the_fragments_as_plain_text(gate: GateProcess) -> None:
    lines = wscat(url(gate), ASK, "counted.", "-H", f"Authorization: Bearer {gate.about['demo_key']}")

    assert lines[:3] == ["You", "said:", "こんにちは."]
    assert lines[-1] == "counted."


@needs_wscat
def test_wscat_gives_its_key_as_a_subprotocol(gate: GateProcess) -> None:
    key = gate.about["demo_key"]
    lines = wscat(url(gate), ASK, '"done"', "-s", "tollkeeper.v1.json", "-s", f"tollkeeper.key.{key}")

    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds[0] == "start"
    assert kinds[-2:] == ["usage", "done"]
