"""/v1/responses towards a provider that has such sockets itself: relayed to one of them, each response a call."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from kit.sockets import frame, opened
from kit.speaking import Heard, SpeakingUpstream, speaking
from kit.waiting import until as waited_for

SECRET = "sk-provider-canary-0123456789"
CONFIG = """
[retry]
retries = 1
base = 0.01
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "{secret}"
sockets = ["openai_responses"]
leave = "cancel"
[providers.plain]
kind = "openai"
base_url = "{plain}"
api_key = "{secret}"
sockets = ["openai_responses"]
[models.m]
targets = ["up/real"]
price = {{ input = 1, output = 2 }}
[models.other]
targets = ["up/other"]
price = {{ input = 1, output = 2 }}
[models.either]
targets = ["up/real", "plain/real"]
price = {{ input = 1, output = 2 }}
[models.plain]
targets = ["plain/real"]
price = {{ input = 1, output = 2 }}
"""
USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
COST = "0.000009"
PATH = "/v1/responses"


def say(heard: Heard, kind: str, lane: str | None = None, **more: Any) -> None:
    heard.say(type=kind, **({} if lane is None else {"stream_id": lane}), **more)


def created(heard: Heard, id: str, lane: str | None = None) -> None:
    say(heard, "response.created", lane, response={"id": id, "status": "in_progress", "model": "real-2026"})


def completed(heard: Heard, id: str, lane: str | None = None, kind: str = "response.completed") -> None:
    say(heard, kind, lane, response={"id": id, "status": "completed", "model": "real-2026", "usage": USAGE})


def respond(heard: Heard, id: str, lane: str | None = None, *words: str) -> None:
    created(heard, id, lane)
    for word in words or ("Hel", "lo"):
        say(heard, "response.output_text.delta", lane, item_id="msg_1", output_index=0, content_index=0, delta=word)
    completed(heard, id, lane)


def talking(heard: Heard) -> None:
    """Answers whatever it is asked, and keeps what that was."""
    number = 0
    while True:
        asked = heard.hear()
        heard_so_far.append(asked)
        number += 1
        respond(heard, f"resp_{number}", asked.get("stream_id"))


heard_so_far: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
def upstream() -> Iterator[SpeakingUpstream]:
    with speaking(talking) as running:
        yield running


@pytest.fixture(scope="module")
def plain() -> Iterator[ScriptedUpstream]:
    """A provider that speaks HTTP only, whatever the config says."""
    with ScriptedUpstream(over_http) as scripted:
        yield scripted


def over_http(request: Request, connection: Connection) -> bool:
    if request.method == "GET":
        return bool(json_answer(404, {"error": {"message": "no such thing"}})(request, connection))
    answer = {"type": "response.completed", "response": {"id": "resp_h", "model": "real", "usage": USAGE}}
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    connection.send(head)
    connection.chunk(b"event: response.completed\ndata: " + json.dumps(answer).encode() + b"\n\n")
    return connection.end()


@pytest.fixture(scope="module")
def gate(
    upstream: SpeakingUpstream, plain: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GateProcess]:
    config = CONFIG.format(url=upstream.url, plain=plain.url, secret=SECRET)
    with running_gate(tmp_path_factory.mktemp("gate"), config) as running:
        yield running


@pytest.fixture(autouse=True)
def _talking(upstream: SpeakingUpstream, plain: ScriptedUpstream) -> None:
    upstream.script, upstream.refuses = talking, None
    heard_so_far.clear()
    plain.requests.clear()


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> str:
    """Whose events a test looks at: its own."""
    return str(request.node.name)


@pytest.fixture
def key(gate: GateProcess, owner: str) -> str:
    return gate.new_key(owner=owner)


def create(model: str = "m", **more: Any) -> str:
    return json.dumps({"type": "response.create", "model": model, "input": "Say hello.", **more})


def until(socket: Any, *kinds: str) -> list[dict[str, Any]]:
    found = [frame(socket)]
    while found[-1]["type"] not in kinds:
        found.append(frame(socket))
    return found


def written(gate: GateProcess, owner: str, count: int) -> list[dict[str, Any]]:
    """The owner's events, once there are so many."""

    def own() -> list[dict[str, Any]]:
        return [each for each in gate.events() if each["owner"] == owner]

    waited_for(lambda: len(own()) >= count)
    found = own()
    assert len(found) == count
    return found


@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")  # the client's own use of websockets
def test_openais_own_client_speaks_with_the_providers_socket_and_each_response_is_one_event(
    gate: GateProcess, upstream: SpeakingUpstream, monkeypatch: pytest.MonkeyPatch, key: str, owner: str
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    opened_before = len(upstream.opened)
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=key) as client, client.responses.connect() as connection:
        for _ in range(2):
            said = ""
            connection.response.create(model="m", input="Say hello.")
            for received in connection:
                if received.type == "response.output_text.delta":
                    said += received.delta
                if received.type == "response.completed":
                    break
            assert said == "Hello"

    for each in written(gate, owner, 2):
        assert (each["outcome"], each["quality"], each["cost_usd"]) == ("ok", "reported", COST)
        assert (each["model_asked"], each["provider"], each["model"]) == ("m", "up", "real")
    (socket,) = upstream.opened[opened_before:]
    assert socket.path == PATH
    assert socket.headers["authorization"] == f"Bearer {SECRET}"
    assert heard_so_far[0] == {"type": "response.create", "model": "real", "input": "Say hello."}


def test_lanes_share_the_providers_socket_and_their_events_stay_apart(
    gate: GateProcess, upstream: SpeakingUpstream, key: str, owner: str
) -> None:
    def crossed(heard: Heard) -> None:
        """The second is answered first, inside the first."""
        assert {heard.hear()["stream_id"], heard.hear()["stream_id"]} == {"a", "b"}
        created(heard, "resp_a", "a")
        respond(heard, "resp_b", "b", "quick")
        say(heard, "response.output_text.delta", "a", delta="slow")
        completed(heard, "resp_a", "a")
        heard.hear()

    upstream.script = crossed
    with opened(gate, key, PATH) as socket:
        socket.send(create(stream_id="a"))
        socket.send(create("other", stream_id="b"))
        found = until(socket, "response.completed") + until(socket, "response.completed")

    words = [(each["stream_id"], each["delta"]) for each in found if "delta" in each]
    assert sorted(words) == [("a", "slow"), ("b", "quick")]
    assert {each["model"] for each in written(gate, owner, 2)} == {"real", "other"}


def test_what_the_provider_prepares_for_its_socket_is_passed_on(gate: GateProcess, key: str) -> None:
    with opened(gate, key, PATH) as socket:
        socket.send(create(generate=False, store=False))
        until(socket, "response.completed")
        socket.send(create(previous_response_id="resp_1", store=False))
        until(socket, "response.completed")

    assert heard_so_far[0]["generate"] is False
    assert heard_so_far[1]["previous_response_id"] == "resp_1"
    assert all("stream" not in each for each in heard_so_far)


def test_a_response_that_follows_on_steering_is_a_call_of_its_own(
    gate: GateProcess, upstream: SpeakingUpstream, key: str, owner: str
) -> None:
    def steered(heard: Heard) -> None:
        heard.hear()
        created(heard, "resp_1", "l")
        heard_so_far.append(heard.hear())
        say(heard, "response.steer.accepted", "l", steer={"id": "s1", "previous_response_id": "resp_1"})
        completed(heard, "resp_1", "l", "response.incomplete")
        steered_to = {"id": "resp_steered", "object": "response", "status": "in_progress", "model": "real-2026"}
        say(heard, "response.created", "l", response=steered_to)
        say(heard, "response.output_text.delta", "l", item_id="m", output_index=0, content_index=0, delta="turned")
        completed(heard, "resp_steered", "l")
        heard.hear()

    upstream.script = steered
    with opened(gate, key, PATH) as socket:
        socket.send(create(stream_id="l"))
        until(socket, "response.created")
        socket.send(json.dumps({"type": "response.steer", "previous_response_id": "resp_1", "input": "left"}))
        found = until(socket, "response.completed")
        events = written(gate, owner, 2)

    assert heard_so_far[0]["input"] == "left"
    assert [each["type"] for each in found] == [
        "response.steer.accepted",
        "response.incomplete",
        "response.created",
        "response.output_text.delta",
        "response.completed",
    ]
    assert [each["cost_usd"] for each in events] == [COST, COST]
    assert events[0]["model_asked"] == "m"
    elsewhere = {"model": "plain", "input": "and?", "previous_response_id": "resp_steered"}
    status, _, body = gate.call("POST", PATH, key, elsewhere)
    assert (status, b"another provider" in body) == (400, True), "it is known where it was made"


def test_what_another_made_is_neither_continued_nor_steered_to(
    gate: GateProcess, upstream: SpeakingUpstream, key: str
) -> None:
    def made(heard: Heard) -> None:
        heard_so_far.append(heard.hear())
        say(heard, "response.created", "l", response={"id": "resp_mine", "object": "response", "model": "real-2026"})
        for asked in iter(heard.hear, None):
            heard_so_far.append(asked)
            completed(heard, "resp_mine", "l")

    upstream.script = made
    stranger = gate.new_key(name="stranger")
    with opened(gate, key, PATH) as mine, opened(gate, stranger, PATH) as socket:
        mine.send(create(stream_id="l"))
        until(mine, "response.created")
        for sent in (
            create(stream_id="l", previous_response_id="resp_mine"),
            json.dumps({"type": "response.steer", "previous_response_id": "resp_mine", "input": "left"}),
        ):
            socket.send(sent)
            said = frame(socket)
            assert (said["type"], said["status"], said["error"]["code"]) == (
                "error",
                404,
                "previous_response_not_found",
            )
        mine.send(json.dumps({"type": "response.steer", "previous_response_id": "resp_mine", "input": "right"}))
        until(mine, "response.completed")

    assert [each["input"] for each in heard_so_far[1:]] == ["right"]


def test_a_response_that_nobody_may_have_is_kept_back_and_its_socket_closed(
    gate: GateProcess, upstream: SpeakingUpstream
) -> None:
    def begins(heard: Heard) -> None:
        heard.hear()
        respond(heard, "resp_1")
        created(heard, "resp_2")
        say(heard, "response.output_text.delta", delta="secret words")
        heard.ended()
        heard_so_far.append({"closed": True})

    upstream.script = begins
    limited = gate.new_key(name="limited", limits=["1 requests/minute"])
    with opened(gate, limited, PATH) as socket:
        socket.send(create())
        until(socket, "response.completed")
        assert frame(socket)["error"]["code"] == "rate_limit_exceeded"
        waited_for(lambda: heard_so_far == [{"closed": True}])


def test_a_providers_refusal_is_passed_on_with_its_status_and_the_next_request_goes_on(
    gate: GateProcess, upstream: SpeakingUpstream, key: str
) -> None:
    error = {"type": "tokens", "code": "rate_limit_exceeded", "message": f"slow down, {SECRET}", "param": None}

    def refuses(heard: Heard) -> None:
        for _ in range(2):
            heard.hear()
            say(heard, "error", status=400, error={**error, "headers": {"retry-after": "7"}})
        heard.hear()
        respond(heard, "resp_1")
        heard.hear()

    upstream.script = refuses
    with opened(gate, key, PATH) as socket:
        for _ in range(2):
            socket.send(create())
            said = frame(socket)
            assert (said["type"], said["status"], said["error"]["code"]) == ("error", 400, "rate_limit_exceeded")
            assert said["error"]["headers"]["retry-after"] == "7"
            assert SECRET not in json.dumps(said)
        socket.send(create())
        assert until(socket, "response.completed")[0]["type"] == "response.created"


def test_a_socket_that_ends_inside_a_response_is_an_error_and_the_next_request_opens_another(
    gate: GateProcess, upstream: SpeakingUpstream, key: str, owner: str
) -> None:
    def cuts(heard: Heard) -> None:
        upstream.script = talking
        heard.hear()
        created(heard, "resp_1")
        say(heard, "response.output_text.delta", delta="Hel")
        heard.cut()

    upstream.script = cuts
    with opened(gate, key, PATH) as socket:
        socket.send(create())
        found = until(socket, "error", "response.completed")
        assert found[-1]["error"]["code"] == "upstream_cut"
        socket.send(create())
        assert until(socket, "response.completed")[-1]["response"]["usage"]["total_tokens"] == 7

    found_out = {(each["outcome"], each["quality"]) for each in written(gate, owner, 2)}
    assert found_out == {("upstream_cut", "counted"), ("ok", "reported")}


def test_a_client_that_leaves_midway_is_charged_once_and_the_provider_is_let_go(
    gate: GateProcess, upstream: SpeakingUpstream, key: str, owner: str
) -> None:
    def begins(heard: Heard) -> None:
        heard.hear()
        created(heard, "resp_1")
        say(heard, "response.output_text.delta", delta="Hello")
        heard.hear()

    upstream.script = begins
    with opened(gate, key, PATH) as socket:
        socket.send(create())
        until(socket, "response.output_text.delta")

    (event,) = written(gate, owner, 1)
    assert (event["outcome"], event["quality"]) == ("client_left", "counted")


def test_where_the_provider_opens_no_socket_a_request_goes_over_http(
    gate: GateProcess, plain: ScriptedUpstream, key: str
) -> None:
    with opened(gate, key, PATH) as socket:
        for _ in range(2):
            socket.send(create("plain"))
            assert frame(socket)["response"]["id"] == "resp_h"
        socket.send(create("plain", generate=False))
        assert frame(socket)["error"]["code"] == "unsupported_parameter"

    assert [request.method for request in plain.requests] == ["GET", "POST", "POST"]


def test_another_target_is_asked_where_a_provider_is_overloaded(
    gate: GateProcess, upstream: SpeakingUpstream, key: str, owner: str
) -> None:
    def overloaded(heard: Heard) -> None:
        heard.hear()
        say(heard, "error", status=503, error={"type": "server_error", "code": "overloaded", "message": "no"})
        heard.hear()

    upstream.script = overloaded
    with opened(gate, key, PATH) as socket:
        socket.send(create("either", stream_id="l"))
        (said,) = until(socket, "response.completed", "error")

    assert (said["type"], said["stream_id"]) == ("response.completed", "l")
    assert {each["provider"] for each in written(gate, owner, 2)} == {"plain", "up"}
