"""Clients that leave: the call is charged once, exactly under `drain`, by what was delivered under `cancel`."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_answer, chat_events, usage_of

ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
CONFIG = """
[drain]
most = 2
seconds = {seconds}
tokens = 40
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
leave = "{leave}"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""


class Steady:
    """Streams `words` words at `pace`, and tells when its client closed."""

    def __init__(self, words: int, pace: float) -> None:
        self.words = words
        self.pace = pace
        self.closed_after: list[float] = []
        self.finished = threading.Event()

    def __call__(self, request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        for event in chat_events(["word "] * self.words, usage_of(5, self.words)):
            if not connection.chunk(event):
                self.closed_after.append(time.monotonic())
                return
            time.sleep(self.pace)
        connection.end()
        self.finished.set()


@pytest.fixture
def steady() -> Steady:
    return Steady(30, 0.02)


@pytest.fixture(params=["drain", "cancel"])
def leaving(request: pytest.FixtureRequest, steady: Steady, tmp_path: Path) -> Iterator[tuple[GateProcess, str]]:
    with (
        ScriptedUpstream(steady) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, leave=request.param, seconds=30)) as gate,
    ):
        yield gate, request.param


def _leave_midway(gate: GateProcess, key: str, *, reset: bool = False) -> float:
    client = RawClient(gate.port)
    client.post("/v1/chat/completions", key, ASK)
    client.read_until(b"word")
    if reset:
        client.reset()
    else:
        client.sock.close()
    return time.monotonic()


@pytest.mark.row(21)
@pytest.mark.parametrize("reset", [False, True])
def test_client_leaves_midway_and_is_charged_once(
    leaving: tuple[GateProcess, str], steady: Steady, reset: bool
) -> None:
    gate, policy = leaving
    key = gate.new_key()

    left_at = _leave_midway(gate, key, reset=reset)

    events = gate.events_once(1)
    time.sleep(1)
    assert len(gate.events()) == 1
    event = events[0]
    assert event["outcome"] == "client_left"
    if policy == "drain":
        assert steady.finished.is_set()
        assert (event["quality"], event["input_tokens"], event["output_tokens"]) == ("reported", 5, 30)
    else:
        assert steady.closed_after[0] - left_at < 20
        assert event["quality"] == "counted"
        assert 1 <= event["output_tokens"] < 30
        assert event["input_tokens"] > 0
    assert gate.command("verify")["open_holds"] == 0


@pytest.mark.row(21)
def test_cancel_releases_a_silent_upstream_though_it_never_speaks(tmp_path: Path) -> None:
    released: list[float | None] = []
    done = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        released.append(connection.wait_for_peer_to_close(30))
        done.set()

    with (
        ScriptedUpstream(script) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, leave="cancel", seconds=30)) as gate,
    ):
        key = gate.new_key()
        client = RawClient(gate.port)
        client.post("/v1/chat/completions", key, {**ASK, "stream": False})
        time.sleep(0.3)
        client.sock.close()

        assert done.wait(30)
        assert released[0] is not None
        assert released[0] < 20
        event = gate.events_once(1)[0]
        assert (event["outcome"], event["quality"], event["output_tokens"]) == ("client_left", "counted", 0)


def test_a_whole_answer_is_drained_for_a_client_that_left(tmp_path: Path) -> None:
    def script(request: Request, connection: Connection) -> None:
        import json

        time.sleep(0.6)
        body = json.dumps(chat_answer(prompt_tokens=21, completion_tokens=4)).encode()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        connection.send(body)

    with (
        ScriptedUpstream(script) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, leave="drain", seconds=30)) as gate,
    ):
        client = RawClient(gate.port)
        client.post("/v1/chat/completions", gate.new_key(), {**ASK, "stream": False})
        time.sleep(0.2)
        client.sock.close()

        event = gate.events_once(1)[0]
        assert (event["outcome"], event["quality"], event["input_tokens"]) == ("client_left", "reported", 21)


@pytest.mark.parametrize(("words", "pace"), [(1000, 0.02), (200, 0.005)], ids=["seconds", "tokens"])
def test_a_drain_ends_at_its_bound_and_what_came_is_counted(tmp_path: Path, words: int, pace: float) -> None:
    steady = Steady(words, pace)
    with (
        ScriptedUpstream(steady) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, leave="drain", seconds=1.5)) as gate,
    ):
        _leave_midway(gate, gate.new_key())

        event = gate.events_once(1)[0]
        assert (event["outcome"], event["quality"]) == ("client_left", "counted")
        assert 5 < event["output_tokens"] < words


def test_more_drains_than_allowed_are_cancelled(tmp_path: Path) -> None:
    steady = Steady(35, 0.03)
    with (
        ScriptedUpstream(steady) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, leave="drain", seconds=30)) as gate,
    ):
        key = gate.new_key()
        clients = [RawClient(gate.port) for _ in range(4)]
        for client in clients:
            client.post("/v1/chat/completions", key, ASK)
        for client in clients:
            client.read_until(b"word")
        for client in clients:
            client.sock.close()

        qualities = sorted(event["quality"] for event in gate.events_once(4))
        assert qualities == ["counted", "counted", "reported", "reported"]
