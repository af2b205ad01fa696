"""A real WebSocket client through API Gateway's events to the handler: wscat, and a client that talks in JSON."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from clients.wscat import needs_wscat, wscat
from kit.api_gateway import Bridge, Lambdas, api_gateway
from kit.connections import Connections, connections
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, event_stream, usage_of
from kit.waiting import until
from serverless.test_http import event
from tollkeeper.serverless.http import answer as http_answer
from tollkeeper.serverless.running import Running
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore

ASK = json.dumps({"action": "sendmessage", "data": "こんにちは"}, ensure_ascii=False)


@pytest.fixture
def known(environment: dict[str, str]) -> Iterator[Connections]:
    with connections() as found:
        environment["TOLLKEEPER_CONNECTIONS_URL"] = found.url
        yield found


@pytest.fixture
def gateway(environment: dict[str, str], known: Connections) -> Iterator[tuple[Bridge, Lambdas]]:
    with api_gateway(lambda: Running(environment), known) as running:
        yield running


@pytest.fixture
def secret(keys: DynamoKeyStore) -> str:
    return keys.create("ada")[1]


@needs_wscat
def test_wscat_receives_the_words_through_the_gateways_events(
    gateway: tuple[Bridge, Lambdas], upstream: ScriptedUpstream, secret: str
) -> None:
    upstream.script = event_stream(b"".join(chat_events(["やあ、", "元気?"], usage_of(7, 2))))
    bridge, _ = gateway

    lines = wscat(bridge.url, ASK, "元気?", "-H", f"Authorization: Bearer {secret}")

    assert "".join(lines) == "やあ、元気?"
    until(lambda: bridge.left, 60)


@needs_wscat
def test_wscat_without_a_key_does_not_come_in(gateway: tuple[Bridge, Lambdas]) -> None:
    bridge, _ = gateway

    lines = wscat(bridge.url, ASK, "401", "-H", "Authorization: Bearer tk-wrong")

    assert any("401" in line for line in lines)


def test_several_messages_are_answered_at_once_each_by_a_lambda_of_its_own(
    gateway: tuple[Bridge, Lambdas], upstream: ScriptedUpstream, secret: str
) -> None:
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(7, 1))))
    bridge, lambdas = gateway
    offered = ["tollkeeper.v1.json", f"tollkeeper.key.{secret}"]
    with connect(bridge.url, subprotocols=offered, proxy=None) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "tollkeeper.v1.json"
        for number in range(3):
            socket.send(json.dumps({"action": "sendmessage", "data": "hello", "id": str(number)}))
        socket.send('{"action":"nowhere","id":"lost"}')
        found: list[dict[str, object]] = []
        while sum(each["type"] in ("done", "error") for each in found) < 4:
            found.append(json.loads(socket.recv(60)))

    ends = {each["id"]: each["type"] for each in found if each["type"] in ("done", "error")}
    assert ends == {"0": "done", "1": "done", "2": "done", "lost": "error"}
    assert lambdas.count >= 1


def test_a_ticket_from_one_lambda_opens_a_socket_at_another_once(
    gateway: tuple[Bridge, Lambdas], environment: dict[str, str], upstream: ScriptedUpstream, secret: str
) -> None:
    bridge, _ = gateway
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(7, 1))))
    ticket = ticket_of(environment, secret)

    with connect(f"{bridge.url}?ticket={ticket}", proxy=None) as socket:
        socket.send(ASK)
        assert socket.recv(60) == "Hi"
    with pytest.raises(InvalidStatus) as refused, connect(f"{bridge.url}?ticket={ticket}", proxy=None):
        pass
    assert refused.value.response.status_code == 401


def test_a_conversation_is_remembered_from_one_lambda_to_the_next(
    environment: dict[str, str], known: Connections, upstream: ScriptedUpstream, secret: str
) -> None:
    config = Path(environment["TOLLKEEPER_CONFIG"])
    config.write_text(config.read_text("utf-8") + "memory = 4\n", "utf-8")
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(7, 1))))
    with api_gateway(lambda: Running(environment), known) as (bridge, _):
        offered = ["tollkeeper.v1.json", f"tollkeeper.key.{secret}"]
        with connect(bridge.url, subprotocols=offered, proxy=None) as socket:  # type: ignore[arg-type]
            for count, asked in enumerate(('"sendmessage","data":"one"', '"sendmessage","data":"two"', '"forget"'), 1):
                socket.send(f'{{"action":{asked}}}')
                until(lambda count=count: bridge.answered == count, 60)
            socket.send('{"action":"sendmessage","data":"three"}')
            until(lambda: bridge.answered == 4, 60)

    said = [[each["content"] for each in request.json()["messages"]] for request in upstream.requests]
    assert said == [["one"], ["one", "Hi", "two"], ["three"]]


def test_an_answer_is_cancelled_by_a_message_that_another_lambda_takes(
    gateway: tuple[Bridge, Lambdas], upstream: ScriptedUpstream, secret: str
) -> None:
    over = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(chat_events(["one", "two"], usage_of(7, 2))[0])
        over.wait(60)

    upstream.script = script
    bridge, lambdas = gateway
    offered = ["tollkeeper.v1.json", f"tollkeeper.key.{secret}"]
    with connect(bridge.url, subprotocols=offered, proxy=None) as socket:  # type: ignore[arg-type]
        socket.send('{"action":"sendmessage","data":"hello","id":"a"}')
        assert json.loads(socket.recv(60))["type"] == "start"
        socket.send('{"action":"cancel","id":"a"}')
        assert _until_done(socket)["reason"] == "cancelled"
        over.set()
    assert lambdas.count == 2


def _until_done(socket: ClientConnection) -> dict[str, object]:
    while True:
        found: dict[str, object] = json.loads(socket.recv(60))
        if found["type"] in ("done", "error"):
            return found


def ticket_of(environment: dict[str, str], secret: str) -> str:
    """From the HTTP function, which is another Lambda."""
    gate = Running(environment)
    try:
        asked = event("POST", "/ws/tickets", secret, None)
        response = gate.run(lambda: http_answer(gate.door, asked), 29)
    finally:
        gate.close()
    assert response["statusCode"] == 200
    return str(json.loads(response["body"])["ticket"])
