"""API Gateway's HTTP events: a call is answered whole and recorded in the table, by whichever Lambda takes it."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer, usage_of
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event
from tollkeeper.serverless.http import answer, request_of
from tollkeeper.serverless.running import Running
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import events_between

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
Start = Callable[[], Running]


def event(method: str = "POST", path: str = "/v1/chat/completions", key: str = "", body: Any = ASK) -> dict[str, Any]:
    """As documented, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"Authorization": f"Bearer {key}", "content-type": "application/json", "content-length": "1"},
        "requestContext": {
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def ask(gate: Running, given: dict[str, Any]) -> dict[str, Any]:
    return gate.run(lambda: answer(gate.door, given), 29)


def written(gate: Running) -> list[Event]:
    return gate.run(lambda: events_between(gate.table, 0, 1 << 62), 29)


def test_a_call_is_answered_and_its_event_is_in_the_table_when_the_answer_is_there(
    start: Start, upstream: ScriptedUpstream, keys: DynamoKeyStore
) -> None:
    _, secret = keys.create("ada")
    gate = start()

    response = ask(gate, event(key=secret))

    assert (response["statusCode"], response["isBase64Encoded"]) == (200, False)
    assert json.loads(response["body"])["choices"][0]["message"]["content"] == "Hello!"
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-provider"
    (found,) = written(gate)
    assert found.request_id == response["headers"]["x-request-id"]
    assert (found.usage.input_tokens, found.usage.output_tokens, found.cost_nano) == (9, 2, 11_000)


def test_a_stream_comes_whole(start: Start, upstream: ScriptedUpstream, keys: DynamoKeyStore) -> None:
    _, secret = keys.create("ada")
    upstream.script = event_stream(b"".join(chat_events(["one", "two"], usage_of(7, 2))))
    gate = start()

    response = ask(gate, event(key=secret, body={**ASK, "stream": True}))

    assert response["headers"]["content-type"].startswith("text/event-stream")
    assert response["body"].endswith("data: [DONE]\n\n")
    assert written(gate)[0].usage.output_tokens == 2


def test_a_refusal_keeps_its_status_and_form(start: Start) -> None:
    response = ask(start(), event(key="tk-wrong"))

    assert (response["statusCode"], json.loads(response["body"])["error"]["code"]) == (401, "invalid_api_key")


def test_a_key_that_is_made_or_revoked_elsewhere_is_noticed(start: Start, keys: DynamoKeyStore) -> None:
    gate = start()
    _, secret = keys.create("ada")
    gate._polled = 0.0
    assert ask(gate, event(key=secret))["statusCode"] == 200

    keys.revoke("ada")
    gate._polled = 0.0

    assert ask(gate, event(key=secret))["statusCode"] == 401


def test_two_lambdas_share_a_budget(start: Start, upstream: ScriptedUpstream, keys: DynamoKeyStore) -> None:
    """Each call costs some 950 micro-USD at most, and has cost 500: three fit into 2,000, by whichever."""
    _, secret = keys.create("ada", budgets=["0.002 USD"])
    upstream.script = json_answer(200, chat_answer("Hello!", 9, 491))
    gates = [start(), start()]

    statuses = [ask(gates[n % 2], event(key=secret, body={**ASK, "max_tokens": 600}))["statusCode"] for n in range(6)]

    assert statuses == [200, 200, 200, 429, 429, 429]
    assert sum(each.cost_nano or 0 for each in written(gates[0])) == 3 * 500_000


def test_a_refusal_by_a_shared_budget_says_what_any_would(start: Start, keys: DynamoKeyStore) -> None:
    _, secret = keys.create("ada", budgets=["0.00000001 USD"])

    response = ask(start(), event(key=secret))

    assert json.loads(response["body"])["error"]["code"] == "budget_exceeded"
    assert response["headers"]["x-should-retry"] == "false"


def test_what_is_no_text_is_base64(start: Start, upstream: ScriptedUpstream, keys: DynamoKeyStore) -> None:
    _, secret = keys.create("ada")
    wav = bytes(range(256))
    upstream.script = json_answer(200, wav)
    given = event(key=secret, path="/v1/audio/speech", body={"model": "m", "input": "hi", "voice": "alloy"})
    gate = start()
    upstream.script = lambda request, connection: connection.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 256\r\n\r\n" + wav
    )

    response = ask(gate, given)

    assert (response["isBase64Encoded"], base64.b64decode(response["body"])) == (True, wav)


def test_a_body_in_base64_a_stage_and_cookies_are_understood() -> None:
    given = event(path="/prod/v1/models/openai%2Fx")
    given["requestContext"]["stage"] = "prod"
    given |= {"body": base64.b64encode(b'{"a":1}').decode(), "isBase64Encoded": True, "cookies": ["a=1", "b=2"]}

    scope, body = request_of(given)

    assert (scope["raw_path"], body) == (b"/v1/models/openai%2Fx", b'{"a":1}')
    assert (b"cookie", b"a=1; b=2") in scope["headers"]
    assert [value for name, value in scope["headers"] if name == b"content-length"] == [b"7"]


def test_a_body_that_is_no_base64_is_refused() -> None:
    with pytest.raises(CallerError, match="base64"):
        request_of({**event(), "body": "*", "isBase64Encoded": True})


@pytest.mark.parametrize(
    "other",
    [
        {
            "httpMethod": "GET",
            "path": "/v1/models",
            "headers": None,
            "requestContext": {"stage": "prod", "identity": {}},
        },
        {"httpMethod": "GET", "path": "/v1/models", "headers": {}, "requestContext": {"elb": {"targetGroupArn": "a"}}},
        {"Records": []},
    ],
    ids=["REST API", "load balancer", "queue"],
)
def test_the_event_of_another_service_is_refused_in_so_many_words(start: Start, other: dict[str, Any]) -> None:
    response = ask(start(), other)

    assert (response["statusCode"], json.loads(response["body"])["error"]["code"]) == (501, "invalid_http")
    assert "payload format 2.0" in response["body"]


def test_an_event_without_headers_is_a_request_without_a_key(start: Start) -> None:
    assert ask(start(), {**event(), "headers": None})["statusCode"] == 401


def test_limits_hold_over_all_lambdas_and_calls_under_way_are_given_back(start: Start, keys: DynamoKeyStore) -> None:
    _, secret = keys.create("ada", limits=["2 requests/hour", "1 concurrent"])
    first, second = start(), start()

    answered = [ask(gate, event(key=secret)) for gate in (first, second, first, second)]

    assert [each["statusCode"] for each in answered] == [200, 200, 429, 429]
    assert json.loads(answered[-1]["body"])["error"]["code"] == "rate_limit_exceeded"
