"""Ends that nobody wishes for: a gate told to stop while calls go on and on, silence in a stream, a careless provider."""

import json
import time
from pathlib import Path

from kit.gate import running_gate
from kit.raw import RawClient, body_of
from kit.scripted import (
    SSE_HEAD,
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)
from kit.vitals import becomes

ASK = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
CONFIG = """
[server]
shutdown_seconds = 1
[relay]
keep_alive = 0.3
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-careless-0123456789"
[models.m]
targets = ["up/m"]
"""


def _endless(request: Request, connection: Connection) -> None:
    """Streams without end; says nothing where no stream is wanted."""
    if not request.json().get("stream"):
        connection.wait_for_peer_to_close(30)
        return
    connection.send(SSE_HEAD)
    while connection.chunk(chat_events(["word"], None)[0]):
        time.sleep(0.05)


def test_calls_that_outlast_the_shutdown_are_cut_and_still_recorded(tmp_path: Path) -> None:
    with ScriptedUpstream(_endless) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()
        with RawClient(gate.port) as client, RawClient(gate.port) as waiting:
            waiting.post("/v1/chat/completions", key, {**ASK, "stream": False})
            assert becomes(lambda: len(upstream.requests) == 1)
            client.post("/v1/chat/completions", key, ASK)
            client.read_until(b"word")
            began = time.monotonic()

            assert gate.stop() == 0
            assert time.monotonic() - began < 25
            assert not body_of(client.read_all())[1]
            assert waiting.read_all() == b""
        streamed, silent = sorted(gate.command("events"), key=lambda event: -event["output_tokens"])
        assert (streamed["outcome"], streamed["quality"]) == ("gate_stopped", "unpriced")
        assert streamed["output_tokens"] > 3
        assert (silent["outcome"], silent["quality"]) == ("gate_stopped", "unpriced")
        assert (silent["input_tokens"], silent["output_tokens"]) == (streamed["input_tokens"], 0)
        assert gate.command("verify")["open_holds"] == 0


def test_a_second_signal_ends_calls_at_once_and_they_are_still_recorded(tmp_path: Path) -> None:
    config = CONFIG.replace("shutdown_seconds = 1", "shutdown_seconds = 30")
    with ScriptedUpstream(_endless) as upstream, running_gate(tmp_path, config.format(url=upstream.url)) as gate:
        key = gate.new_key()
        with RawClient(gate.port) as client:
            client.post("/v1/chat/completions", key, ASK)
            client.read_until(b"word")
            gate.process.terminate()
            assert becomes(lambda: gate.operator("GET", "/readyz")[0] == 503), "two signals at once may be one"
            began = time.monotonic()

            assert gate.stop() == 0
            assert time.monotonic() - began < 20
        assert [event["outcome"] for event in gate.command("events")] == ["gate_stopped"]
        assert all(json.loads(line) for line in gate.log().splitlines())


def test_a_request_whose_task_was_cancelled_is_closed_and_not_waited_for_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "cancelling.py").write_text(
        "import asyncio\n\n\n"
        "async def itself() -> str:\n"
        "    asyncio.current_task().cancel()\n"
        "    await asyncio.sleep(3600)\n"
        "    return 'never'\n"
    )
    config = '[server]\nshutdown_seconds = 3600\n[apis.itself]\nfunction = "cancelling:itself"\n'
    with running_gate(tmp_path, config) as gate:
        with RawClient(gate.port) as client:
            client.post("/itself", gate.new_key(), {})

            assert client.read_all() == b""

        assert gate.stop() == 0


def test_silence_in_a_stream_is_filled_with_comments_that_no_client_trips_over(tmp_path: Path) -> None:
    events = chat_events(["one", "two"], usage_of(1, 2))

    def script(request: Request, connection: Connection) -> bool:
        connection.send(SSE_HEAD)
        time.sleep(0.7)
        connection.chunk(events[0])
        time.sleep(0.7)
        connection.chunk(b"".join(events[1:]))
        return connection.end()

    with ScriptedUpstream(script) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key()

        status, _, received = gate.call("POST", "/v1/chat/completions", key, ASK)

        assert status == 200
        assert received.startswith(b": ping\n")
        assert received.count(b": ping\n") >= 2
        assert received.replace(b": ping\n", b"") == b"".join(chat_events(["one", "two"], None))
        assert gate.events_once(1)[0]["output_tokens"] == 2


def test_our_key_reaches_no_client_though_the_provider_repeats_it(tmp_path: Path) -> None:
    secret = "sk-careless-0123456789"
    with (
        ScriptedUpstream(json_answer(200, chat_answer(f"you sent {secret}"), f"x-echo: {secret}")) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate,
    ):
        key = gate.new_key()
        whole = gate.call("POST", "/v1/chat/completions", key, {**ASK, "stream": False})
        upstream.script = event_stream(b"".join(chat_events([f"you sent {secret}"], None)))
        streamed = gate.call("POST", "/v1/chat/completions", key, ASK)

    assert "[redacted]" in json.dumps([whole[1], whole[2].decode()])
    assert secret not in json.dumps([whole[1], whole[2].decode(), streamed[1], streamed[2].decode()])
