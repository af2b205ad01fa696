"""The running gate as a whole: a config that changes under it, and a crash that it comes back from."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    json_answer,
    usage_of,
)
from kit.terminal import tollkeeper

PROVIDER = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "file:{folder}/provider.key"
"""
MODEL = """
[models.{name}]
targets = ["up/{name}"]
price = {{ input = {price}, output = 1 }}
"""


class Upstream:
    """Answers at once, but for streams of the model `slow`: they give a word, and the rest once they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def __call__(self, request: Request, connection: Connection) -> bool:
        if request.json()["model"] != "slow" or not request.json().get("stream"):
            return bool(json_answer(200, chat_answer())(request, connection))
        first, *rest = chat_events(["one ", "two ", "three"], usage_of(5, 3))
        connection.send(SSE_HEAD)
        connection.chunk(first)
        self.release.wait(20)
        return all(connection.chunk(event) for event in rest) and connection.end()


@pytest.fixture
def slow() -> Iterator[Upstream]:
    script = Upstream()
    yield script
    script.release.set()


@pytest.fixture
def upstream(slow: Upstream) -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(slow) as scripted:
        yield scripted


@pytest.fixture
def gate(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[GateProcess]:
    (tmp_path / "provider.key").write_text("sk-first", "utf-8")
    with running_gate(tmp_path, _config(upstream, tmp_path, "slow", "plain")) as running:
        yield running


def _config(upstream: ScriptedUpstream, folder: Path, *models: str, price: int = 1) -> str:
    text = PROVIDER.format(url=upstream.url, folder=folder)
    return text + "".join(MODEL.format(name=name, price=price) for name in models) + '[log]\nformat = "json"\n'


def _status(gate: GateProcess, key: str, model: str) -> int:
    return gate.call("POST", "/v1/chat/completions", key, {"model": model, "messages": []})[0]


def _soon(question: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not question():
        if time.monotonic() > until:
            return False
        time.sleep(0.03)
    return True


def _logged(gate: GateProcess, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, gate.log().splitlines()) if line["event"] == event]


def _input_price(gate: GateProcess, event: dict[str, Any]) -> str:
    """USD per million input tokens at which the event was charged, as it was noted then."""
    status, _, body = gate.operator("GET", f"/api/explain/{event['request_id']}")
    assert status == 200, body
    [attempt] = json.loads(body)["attempts"]
    return next(str(line["usd_per_million"]) for line in attempt["cost"]["lines"] if line["kind"] == "input")


@pytest.mark.row(73)
def test_a_changed_file_adds_and_removes_models_soon_and_calls_under_way_go_on(
    gate: GateProcess, upstream: ScriptedUpstream, slow: Upstream
) -> None:
    key = gate.new_key()
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, {"model": "slow", "messages": [], "stream": True})
        client.read_until(b"one ")
        assert _status(gate, key, "new") == 404

        gate.config.write_text(_config(upstream, gate.config.parent, "new", price=1000), "utf-8")

        assert _soon(lambda: _status(gate, key, "new") == 200)
        assert [_status(gate, key, gone) for gone in ("slow", "plain")] == [404, 404]
        listed = json.loads(gate.call("GET", "/v1/models", key)[2])["data"]
        assert [model["id"] for model in listed] == ["new"]
        slow.release.set()
        client.read_until(b"[DONE]")
    begun, changed = sorted(gate.events_once(2), key=lambda event: str(event["model"]), reverse=True)
    assert (begun["model"], begun["outcome"], begun["cost_usd"]) == ("slow", "ok", "0.000008")
    assert (changed["model"], changed["cost_usd"]) == ("new", "0.009003")
    assert [event["price_version"] for event in (begun, changed)] == ["config", "config"]
    assert [_input_price(gate, event) for event in (begun, changed)] == ["1", "1000"]


@pytest.mark.parametrize("told", [True, False], ids=["by a signal", "by itself"])
def test_what_the_file_only_points_to_is_read_again(gate: GateProcess, upstream: ScriptedUpstream, told: bool) -> None:
    key = gate.new_key()
    assert _status(gate, key, "plain") == 200
    (gate.config.parent / "provider.key").write_text("sk-second", "utf-8")

    if told:
        gate.process.send_signal(signal.SIGHUP)

    assert _soon(lambda: len(_logged(gate, "config_loaded")) >= 1)
    assert _status(gate, key, "plain") == 200
    assert [request.headers["authorization"] for request in upstream.requests] == [
        "Bearer sk-first",
        "Bearer sk-second",
    ]
    assert "sk-" not in gate.log()


@pytest.mark.row(98)
@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda text: text.replace("[models.plain]", "[models.plain"), ":"),
        (lambda text: text + "\n[server]\nprot = 1\n", "server.prot: there is no such field here"),
        (lambda text: text.replace('"up/plain"', '"nobody/plain"'), "names the provider 'nobody'"),
        (lambda text: "\n", "it is empty"),
    ],
    ids=["not TOML", "an unknown field", "an unknown provider", "empty"],
)
def test_a_bad_file_changes_nothing_and_the_log_says_what_is_wrong_and_where(
    gate: GateProcess, upstream: ScriptedUpstream, slow: Upstream, break_it: Callable[[str], str], told: str
) -> None:
    key = gate.new_key()
    good = _config(upstream, gate.config.parent, "slow", "plain")
    slow.release.set()

    gate.config.write_text(break_it(good).replace("[models.slow]", "[models.renamed]"), "utf-8")

    assert _soon(lambda: bool(_logged(gate, "config_refused")))
    [refused] = _logged(gate, "config_refused")
    assert refused["problem"].startswith(f"{gate.config}:")
    assert told in refused["problem"]
    assert _status(gate, key, "plain") == 200
    assert _status(gate, key, "renamed") == 404
    gate.config.write_text(good.replace("[models.slow]", "[models.renamed]"), "utf-8")
    assert _soon(lambda: _status(gate, key, "renamed") == 200)


def test_a_file_that_is_replaced_or_gone_for_a_moment_is_noticed(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key()
    gate.config.unlink()
    assert _soon(lambda: bool(_logged(gate, "config_refused")))
    assert _status(gate, key, "plain") == 200

    fresh = gate.config.with_suffix(".fresh")
    fresh.write_text(_config(upstream, gate.config.parent, "other"), "utf-8")
    os.replace(fresh, gate.config)

    assert _soon(lambda: _status(gate, key, "other") == 200)
    assert _status(gate, key, "plain") == 404


def test_a_file_that_no_parser_can_read_does_not_end_the_watch(gate: GateProcess) -> None:
    key = gate.new_key(name="watched")
    gate.config.write_text("a = " + "[" * 20_000, "utf-8")
    assert _soon(lambda: bool(_logged(gate, "config_refused")))

    gate.command("keys", "revoke", "watched")

    assert _soon(lambda: _status(gate, key, "plain") == 401)


def test_what_a_crash_left_open_is_recovered_once(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(name="crashed", owner="ada", team="red")
    assert _status(gate, key, "plain") == 200
    before = gate.events_once(1)
    client = RawClient(gate.port)
    body = b'{"model":"slow","stream":true,"messages":[{"role":"user","content":"0123456789"}]}'
    client.post("/v1/chat/completions", key, body)
    client.read_until(b"one ")

    gate.stop(signal.SIGKILL)
    client.sock.close()
    gate.start()

    assert gate.about["recovered"] == 1
    assert upstream.requests[-1].json()["model"] == "slow"
    recovered, kept = gate.events()
    assert kept == before[0]
    assert (recovered["quality"], recovered["outcome"], recovered["error_code"]) == (
        "recovered",
        "unknown",
        "gate_crashed",
    )
    assert (recovered["owner"], recovered["team"], recovered["model"]) == ("ada", "red", "slow")
    assert (recovered["streamed"], recovered["status"], recovered["output_tokens"]) == (True, 0, 0)
    assert (recovered["input_tokens"], recovered["cost_usd"]) == (len(body), f"0.0000{len(body)}")
    verified = gate.command("verify")
    assert (verified["ok"], verified["open_holds"], verified["events"]) == (True, 0, 2)

    gate.stop(signal.SIGKILL)
    gate.start()

    assert gate.about["recovered"] == 0
    assert gate.events() == [recovered, kept]
    assert _status(gate, key, "plain") == 200


def test_what_ended_before_the_crash_is_not_recovered(gate: GateProcess) -> None:
    key = gate.new_key()
    for _ in range(20):
        assert _status(gate, key, "plain") == 200
    ended = gate.events_once(20)

    gate.stop(signal.SIGKILL)
    gate.start()

    assert (gate.about["recovered"], gate.events()) == (0, ended)


def test_a_second_gate_on_the_same_home_does_not_take_the_calls_of_the_first_for_a_crashs(
    gate: GateProcess, slow: Upstream
) -> None:
    key = gate.new_key()
    with RawClient(gate.port) as client:
        client.post("/v1/chat/completions", key, {"model": "slow", "messages": [], "stream": True})
        client.read_until(b"one ")

        second = tollkeeper("serve", "--home", str(gate.home), "--port", str(gate.port), "--operator-port", "0")

        slow.release.set()
        client.read_until(b"[DONE]")
    assert second.code == 1
    assert second.error.startswith(
        f"Error: Another gate or bulk job (process {gate.process.pid}) has {gate.home} open."
    )
    [event] = gate.events_once(1)
    assert (event["quality"], event["outcome"], event["output_tokens"]) == ("reported", "ok", 3)
