"""A gate whose disk takes no more: calls are refused before they cost anything, what was under way is not forgotten."""

import json
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.raw import RawClient
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer

FULL = 16 * 1024
"""Bytes that a file of the gate's may have while its disk is full: its store is larger already, its log is not."""
CONFIG = """
[providers.openai]
base_url = "{url}"
api_key = "sk-x"
[log]
format = "json"
"""


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets the upstream answer."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def upstream(release: threading.Event) -> Iterator[ScriptedUpstream]:
    def script(request: Request, connection: Connection) -> bool:
        release.wait(20)
        return bool(json_answer(200, chat_answer())(request, connection))

    with ScriptedUpstream(script) as scripted:
        yield scripted


def _limit(gate: GateProcess, size: int) -> None:
    """No file of the gate's process grows beyond `size`: to it, that is a full disk."""
    _, hard = resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def _ready(gate: GateProcess) -> int:
    return request("GET", gate.url + "/readyz", {})[0]


def _becomes(gate: GateProcess, status: int) -> bool:
    until = time.monotonic() + 30
    while _ready(gate) != status:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.row(66)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no prlimit here")
def test_a_full_disk_refuses_calls_keeps_what_was_under_way_and_is_recovered_from(
    upstream: ScriptedUpstream, release: threading.Event, tmp_path: Path
) -> None:
    ask = {"model": "gpt-4o-mini", "messages": []}
    with running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, ask)
            while not upstream.requests:
                time.sleep(0.01)
            _limit(gate, FULL)

            refused = [gate.call("POST", "/v1/chat/completions", key, ask) for _ in range(3)]

            for status, headers, body in refused:
                assert (status, json.loads(body)["error"]["code"]) == (503, "ledger_unavailable")
                assert headers["retry-after"] == "5"
            assert len(upstream.requests) == 1
            assert _ready(gate) == 503
            assert request("GET", gate.url + "/healthz", {})[0] == 200
            release.set()
            client.read_until(b"chat.completion")
            time.sleep(1)
            assert gate.command("events") == []
            _limit(gate, resource.RLIM_INFINITY)
            assert _becomes(gate, 200)

        assert gate.call("POST", "/v1/chat/completions", key, ask)[0] == 200
        events = gate.events_once(2)
        verified = gate.command("verify")
        told = [line["event"] for line in map(json.loads, gate.log().splitlines()) if "ledger" in line["event"]]

    assert [(event["outcome"], event["quality"]) for event in events] == [("ok", "reported")] * 2
    assert (verified["ok"], verified["events"], verified["open_holds"]) == (True, 2, 0)
    assert told == ["ledger_trouble", "ledger_recovered"]
