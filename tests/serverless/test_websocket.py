"""API Gateway's WebSocket events: who may come in, words that arrive one by one, and a client that leaves."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kit.connections import Connections, connections
from kit.scripted import SSE_HEAD, Connection, Request, ScriptedUpstream, chat_events, event_stream, usage_of
from tollkeeper.core.events import Event
from tollkeeper.serverless.running import Running
from tollkeeper.serverless.websocket import answer
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import events_between

ID = "L0SM9cOFvHcCIhw="
Start = Callable[[], Running]


@pytest.fixture
def known(environment: dict[str, str]) -> Iterator[Connections]:
    with connections() as found:
        environment["TOLLKEEPER_CONNECTIONS_URL"] = found.url
        yield found


def event(kind: str, body: str | None = None, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    """As documented."""
    route = {"CONNECT": "$connect", "DISCONNECT": "$disconnect"}.get(kind, "sendmessage")
    return {
        "requestContext": {
            "routeKey": route,
            "eventType": kind,
            "connectionId": ID,
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "stage": "prod",
            "requestId": "id",
        },
        **({"headers": headers} if headers is not None else {}),
        **({"queryStringParameters": query} if query else {}),
        **({"body": body} if body is not None else {}),
        "isBase64Encoded": False,
    }


def connect(gate: Running, secret: str, **query: str) -> dict[str, Any]:
    return answer(gate, event("CONNECT", headers={"Authorization": f"Bearer {secret}", "Host": "x"}, **query), 29)


def say(gate: Running, text: str) -> dict[str, Any]:
    return answer(gate, event("MESSAGE", json.dumps({"action": "sendmessage", "data": text})), 60)


def written(gate: Running) -> list[Event]:
    return gate.run(lambda: events_between(gate.table, 0, 1 << 62), 29)


def test_the_words_of_an_answer_are_posted_to_the_connection(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    upstream.script = event_stream(b"".join(chat_events(["こん", "にちは"], usage_of(7, 2))))
    received: list[bytes] = []
    known.open[ID] = received.append
    gate = start()

    assert connect(gate, secret) == {"statusCode": 200}
    assert say(gate, "hello") == {"statusCode": 200}

    assert b"".join(received).decode() == "こんにちは"
    assert known.authorizations[0].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert [each.usage.output_tokens for each in written(gate)] == [2]


def test_a_word_arrives_before_the_next_has_left_the_provider(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    first, *rest = chat_events(["one", "two"], usage_of(7, 2))
    arrived = threading.Event()
    received: list[bytes] = []

    def take(message: bytes) -> None:
        received.append(message)
        arrived.set()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        if arrived.wait(30):
            connection.chunk(b"".join(rest))
            connection.end()

    upstream.script = script
    known.open[ID] = take
    gate = start()
    connect(gate, secret)

    say(gate, "hello")

    assert received == [b"one", b"two"]


def test_another_lambda_takes_the_next_message(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    upstream.script = event_stream(b"".join(chat_events(["Hi"], usage_of(7, 1))))
    received: list[bytes] = []
    known.open[ID] = received.append

    connect(start(), secret, format="json")
    say(start(), "hello")

    frames = [json.loads(each) for each in received]
    assert [frame["type"] for frame in frames] == ["start", "delta", "usage", "done"]


def test_a_client_that_is_gone_is_charged_once_and_its_provider_is_let_go(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    first, second, *rest = chat_events(["one", *["two"] * 50], usage_of(7, 51))
    left = threading.Event()

    def take(message: bytes) -> None:
        del known.open[ID]
        left.set()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        left.wait(30)
        connection.chunk(second)
        connection.chunk(b"".join(rest))
        connection.end()

    upstream.script = script
    known.open[ID] = take
    gate = start()
    connect(gate, secret)

    assert say(gate, "hello") == {"statusCode": 200}

    (found,) = written(gate)
    assert found.outcome in ("ok", "client_left")
    assert found.usage.output_tokens


def test_nobody_comes_in_without_a_key(start: Start, known: Connections) -> None:
    gate = start()

    refused = connect(gate, "tk-wrong")

    assert (refused["statusCode"], json.loads(refused["body"])["error"]["code"]) == (401, "invalid_api_key")
    assert answer(gate, event("MESSAGE", "{}"), 29)["statusCode"] == 401


def test_a_browser_names_its_key_and_its_format_as_subprotocols(
    start: Start, known: Connections, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    offered = f"tollkeeper.v1.json, tollkeeper.key.{secret}"

    response = answer(start(), event("CONNECT", headers={"Sec-WebSocket-Protocol": offered}), 29)

    assert response == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "tollkeeper.v1.json"}}


def test_a_key_that_was_revoked_meanwhile_is_answered_no_more(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    received: list[bytes] = []
    known.open[ID] = received.append
    connect(start(), secret)
    keys.revoke("ada")

    say(start(), "hello")

    assert upstream.requests == []
    assert json.loads(received[0])["error"]["code"] == "invalid_api_key"


def test_what_is_no_message_is_answered_with_what_is_wrong(
    start: Start, known: Connections, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    received: list[bytes] = []
    known.open[ID] = received.append
    gate = start()
    connect(gate, secret)

    answer(gate, event("MESSAGE", "{"), 29)
    answer(gate, event("MESSAGE", '{"action":"nowhere"}'), 29)
    answer(gate, {**event("MESSAGE", "AAEC"), "isBase64Encoded": True}, 29)

    codes = [json.loads(each)["error"]["code"] for each in received]
    assert codes == ["invalid_json", "unknown_action", "binary_message"]


def test_a_connection_that_has_ended_is_forgotten(start: Start, known: Connections, keys: DynamoKeyStore) -> None:
    _, secret = keys.create("ada")
    gate = start()
    connect(gate, secret)

    answer(gate, event("DISCONNECT"), 29)

    assert gate.run(lambda: gate.table.query("connection"), 29) == []


def test_an_answer_that_lasts_longer_than_the_lambda_is_cut_and_settled(
    start: Start, known: Connections, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    first, *_ = chat_events(["one", "two"], usage_of(7, 2))
    over = threading.Event()

    def script(request: Request, connection: Connection) -> None:
        connection.send(SSE_HEAD)
        connection.chunk(first)
        over.wait(60)

    upstream.script = script
    known.open[ID] = lambda message: None
    gate = start()
    connect(gate, secret)

    response = answer(gate, event("MESSAGE", json.dumps({"action": "sendmessage", "data": "hello"})), 4)
    over.set()

    assert response["statusCode"] == 504
    assert [(each.outcome, each.quality) for each in written(gate)] == [("gate_stopped", "counted")]
