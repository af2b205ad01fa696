"""/v1/realtime: relayed to the provider's socket, each response held, metered and settled as a call of its own."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from kit.gate import GateProcess, running_gate
from kit.sockets import closed, frame, opened, refused
from kit.speaking import Heard, SpeakingUpstream, speaking

SECRET = "sk-provider-canary-0123456789"
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "{secret}"
leave = "cancel"
[providers.local]
kind = "openai"
base_url = "{url}"
api_key = "session"
[models.homemade]
targets = ["local/voice"]
[models.voice]
targets = ["up/gpt-realtime"]
price = {{ input = 1, output = 2, audio_input = 10, audio_output = 20 }}
[models.scribe]
targets = ["up/scribe"]
price = {{ input = 1 }}
[models.rest]
targets = ["up/gpt-4o-transcribe"]
price = {{ input = 3, output = 5 }}
"""
USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 15, "audio_tokens": 5, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 6, "audio_tokens": 4},
}
COST = "0.000157"  # 15 + 5 * 10 + 6 * 2 + 4 * 20 millionths
PATH = "/v1/realtime?model=voice"


def respond(heard: Heard, id: str = "resp_1", *words: str, status: str = "completed") -> None:
    """One response as the Realtime API gives it."""
    heard.say(type="response.created", event_id="e1", response={"id": id, "status": "in_progress"})
    heard.say(type="conversation.item.added", event_id="e2", item={"id": "item_1"})
    for word in words or ("Hel", "lo"):
        heard.say(type="response.output_text.delta", event_id="e3", response_id=id, item_id="item_1", delta=word)
    heard.say(type="response.done", event_id="e4", response={"id": id, "status": status, "usage": USAGE})


def talking(heard: Heard) -> None:
    """Greets, then answers whatever it is asked."""
    heard.say(type="session.created", event_id="e0", session={"id": "sess_1", "key": SECRET})
    while True:
        event = heard.hear()
        if event["type"] == "response.create":
            respond(heard)
        elif event["type"] != "input_audio_buffer.append":
            heard.say(type="echo", of=event["type"])


@pytest.fixture(scope="module")
def upstream() -> Iterator[SpeakingUpstream]:
    with speaking(talking) as running:
        yield running


@pytest.fixture(scope="module")
def gate(upstream: SpeakingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    config = CONFIG.format(url=upstream.url, secret=SECRET)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


@pytest.fixture(autouse=True)
def _talking(upstream: SpeakingUpstream) -> None:
    upstream.script, upstream.refuses = talking, None


def until(socket: Any, kind: str) -> list[dict[str, Any]]:
    found = [frame(socket)]
    while found[-1]["type"] != kind:
        found.append(frame(socket))
    return found


@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")  # the client's own use of websockets
def test_openais_own_client_talks_and_each_response_is_one_event(
    gate: GateProcess, upstream: SpeakingUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    key = gate.new_key(name="sdk")
    before = len(gate.events())
    with (
        openai.OpenAI(base_url=f"{gate.url}/v1", api_key=key) as client,
        client.realtime.connect(model="voice") as connection,
    ):
        assert connection.recv().type == "session.created"
        for _ in range(2):
            connection.response.create()
            said = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    said += event.delta
                if event.type == "response.done":
                    break
            assert said == "Hello"

    first, second = gate.events_once(before + 2)[:2]
    for each in (first, second):
        assert (each["outcome"], each["quality"], each["cost_usd"]) == ("ok", "reported", COST)
        assert (each["model_asked"], each["provider"], each["model"]) == ("voice", "up", "gpt-realtime")
        assert (each["audio_input_tokens"], each["audio_output_tokens"]) == (5, 4)
    heard = upstream.opened[-1]
    assert heard.path == "/v1/realtime?model=gpt-realtime"
    assert heard.headers["authorization"] == f"Bearer {SECRET}"


def test_a_key_that_is_a_mere_word_is_not_taken_out_of_what_is_said(gate: GateProcess) -> None:
    with opened(gate, gate.new_key(), "/v1/realtime?model=homemade") as socket:
        said = frame(socket)

    assert said["type"] == "session.created"
    assert said["session"]["id"] == "sess_1"


def test_everything_passes_in_order_and_the_providers_key_is_never_shown(gate: GateProcess) -> None:
    with opened(gate, gate.new_key(), PATH) as socket:
        socket.send('{"type":"response.create","event_id":"mine"}')
        socket.send('{"type":"session.update"}')
        found = until(socket, "echo")

    kinds = [each["type"] for each in found]
    assert kinds == [
        "session.created",
        "response.created",
        "conversation.item.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.done",
        "echo",
    ]
    assert SECRET not in json.dumps(found)
    assert found[0]["session"]["key"] == "[redacted]"


def test_a_browser_opens_it_with_subprotocols(gate: GateProcess) -> None:
    protocols = ["realtime", f"openai-insecure-api-key.{gate.new_key()}"]
    with opened(gate, path=PATH, subprotocols=protocols) as socket:
        assert socket.subprotocol == "realtime"
        assert frame(socket)["type"] == "session.created"


def test_a_response_that_the_provider_begins_is_metered_too(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    def hears(heard: Heard) -> None:
        heard.hear()
        heard.say(type="input_audio_buffer.speech_stopped")
        respond(heard, "resp_vad")
        heard.hear()

    upstream.script = hears
    before = len(gate.events())
    with opened(gate, gate.new_key(), PATH) as socket:
        socket.send('{"type":"input_audio_buffer.append","audio":"AAAA"}')
        kinds = [each["type"] for each in until(socket, "response.done")]
        [event] = gate.events_once(before + 1)[: len(gate.events()) - before]

    assert kinds[0] == "input_audio_buffer.speech_stopped"
    assert kinds[1] == "response.created"
    assert event["cost_usd"] == COST


def test_a_transcription_is_metered_for_the_model_that_made_it(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    def writes(heard: Heard) -> None:
        audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
        heard.say(type="session.updated", session={"audio": audio})
        usage = {"type": "tokens", "total_tokens": 12, "input_tokens": 10, "output_tokens": 2}
        kind = "conversation.item.input_audio_transcription.completed"
        heard.say(type=kind, item_id="i", transcript="hello", usage=usage)
        heard.hear()

    upstream.script = writes
    before = len(gate.events())
    with opened(gate, gate.new_key(), PATH) as socket:
        found = until(socket, "conversation.item.input_audio_transcription.completed")
        event = gate.events_once(before + 1)[0]

    assert found[-1]["transcript"] == "hello"
    assert (event["model"], event["input_tokens"], event["output_tokens"]) == ("gpt-4o-transcribe", 10, 2)


def test_limits_and_budgets_refuse_a_response_before_it_is_asked_for(
    gate: GateProcess, upstream: SpeakingUpstream
) -> None:
    limited = gate.new_key(name="limited", limits=["1 requests/minute"])
    with opened(gate, limited, PATH) as socket:
        socket.send('{"type":"response.create"}')
        until(socket, "response.done")
        socket.send('{"type":"response.create","event_id":"second"}')
        [refusal] = until(socket, "error")
    assert refusal["error"]["code"] == "rate_limit_exceeded"
    assert refusal["error"]["event_id"] == "second"

    asked: list[str] = []

    def counts(heard: Heard) -> None:
        heard.say(type="session.created")
        while True:
            asked.append(heard.hear()["type"])

    upstream.script = counts
    poor = gate.new_key(name="poor", budgets=["0.000001 USD/month"])
    with opened(gate, poor, PATH) as socket:
        frame(socket)
        socket.send('{"type":"response.create"}')
        assert frame(socket)["error"]["code"] == "budget_exceeded"
    assert "response.create" not in asked


def test_a_response_that_the_provider_begins_beyond_a_budget_is_cancelled_and_kept_back(
    gate: GateProcess, upstream: SpeakingUpstream
) -> None:
    heard_back: list[dict[str, Any]] = []

    def begins(heard: Heard) -> None:
        heard.say(type="response.created", response={"id": "resp_x"})
        heard_back.append(heard.hear())
        heard.say(type="response.output_text.delta", response_id="resp_x", delta="secret words")
        heard.say(type="response.done", response={"id": "resp_x", "status": "cancelled"})
        heard.say(type="after")
        heard.hear()

    upstream.script = begins
    poor = gate.new_key(name="poorer", budgets=["0.000001 USD/month"])
    with opened(gate, poor, PATH) as socket:
        found = until(socket, "after")

    assert [each["type"] for each in found] == ["error", "after"]
    assert found[0]["error"]["code"] == "budget_exceeded"
    assert heard_back == [{"type": "response.cancel", "response_id": "resp_x"}]


def test_a_client_that_leaves_midway_is_charged_once(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    def begins(heard: Heard) -> None:
        heard.hear()
        heard.say(type="response.created", response={"id": "resp_1"})
        heard.say(type="response.output_text.delta", response_id="resp_1", delta="Hello")
        heard.hear()

    upstream.script = begins
    before = len(gate.events())
    with opened(gate, gate.new_key(), PATH) as socket:
        socket.send('{"type":"response.create"}')
        until(socket, "response.output_text.delta")

    event = gate.events_once(before + 1)[0]
    assert (event["outcome"], event["quality"]) == ("client_left", "counted")
    assert event["output_tokens"] == 1


def test_a_provider_that_breaks_off_is_an_error_and_a_close(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    def cuts(heard: Heard) -> None:
        heard.hear()
        heard.say(type="response.created", response={"id": "resp_1"})
        heard.cut()

    upstream.script = cuts
    before = len(gate.events())
    with opened(gate, gate.new_key(), PATH) as socket:
        socket.send('{"type":"response.create"}')
        assert until(socket, "error")[-1]["error"]["code"] == "upstream_cut"
        assert closed(socket)[0] == 1011
    assert gate.events_once(before + 1)[0]["outcome"] == "upstream_cut"


def test_a_providers_own_close_is_passed_on(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    upstream.script = lambda heard: heard.close(4001, "Your session hit the maximum duration of 60 minutes.")
    with opened(gate, gate.new_key(), PATH) as socket:
        assert closed(socket) == (4001, "Your session hit the maximum duration of 60 minutes.")


def test_an_error_to_a_request_settles_it(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    def complains(heard: Heard) -> None:
        event = heard.hear()
        heard.say(type="error", error={"type": "invalid_request_error", "code": "bad", "event_id": event["event_id"]})
        heard.hear()

    upstream.script = complains
    before = len(gate.events())
    with opened(gate, gate.new_key(), PATH) as socket:
        socket.send('{"type":"response.create","event_id":"q"}')
        assert frame(socket)["error"]["code"] == "bad"
        event = gate.events_once(before + 1)[0]

    assert (event["outcome"], event["error_code"], event["cost_usd"]) == ("error", "bad", "0")


def test_what_opens_no_socket_is_answered_as_http(gate: GateProcess, upstream: SpeakingUpstream) -> None:
    key = gate.new_key()
    assert refused(gate, key, "/v1/realtime") == (400, "missing_required_parameter")
    assert refused(gate, key, "/v1/realtime?model=nope") == (404, "model_not_found")
    assert refused(gate, gate.new_key(models=["other"]), PATH) == (404, "model_not_found")
    upstream.refuses = 401
    assert refused(gate, key, PATH) == (502, "upstream_auth_failed")
    upstream.refuses = 404
    assert refused(gate, key, PATH) == (502, "upstream_no_socket")


@pytest.mark.parametrize(("sent", "code"), [("nonsense", "invalid_json"), (b"\x00", "binary_message")])
def test_bad_messages_are_answered_and_not_passed_on(gate: GateProcess, sent: str | bytes, code: str) -> None:
    with opened(gate, gate.new_key(), PATH) as socket:
        frame(socket)
        socket.send(sent)
        assert frame(socket)["error"]["code"] == code
        socket.send('{"type":"x"}')
        assert frame(socket) == {"type": "echo", "of": "x"}
