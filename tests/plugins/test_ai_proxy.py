"""ai-proxy before a scripted provider."""

import json
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kit.model_routes import ASKED, at, instance
from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream, chat_events, event_stream, json_answer, usage_of


def test_a_route_is_answered_by_a_model_and_charged_to_the_consumer(site: Site, provider: ScriptedUpstream) -> None:
    consumer = site.consumer({"key-auth": {"key": "ai-one"}})
    path = site.route({"key-auth": {}, "ai-proxy": instance(provider)}, upstream=None)
    status, headers, body = site.ask(path, "POST", ASKED | {"model": "other"}, apikey="ai-one")
    assert (status, json.loads(body)["usage"]["total_tokens"]) == (200, 12)
    (sent,) = provider.requests
    assert (sent.path, sent.headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-of-the-route")
    assert (sent.json()["model"], sent.json()["temperature"]) == ("gpt-4o-mini", 0.5)
    assert "apikey" not in sent.headers
    event = site.gate.event(headers["x-request-id"])
    assert (event["owner"], event["input_tokens"], event["output_tokens"]) == (consumer, 9, 3)
    assert event["provider"] == "openai-compatible"


def test_a_stream_is_passed_on(site: Site, provider: ScriptedUpstream) -> None:
    events = b"".join(chat_events(["Hel", "lo"], usage_of(9, 2)))
    provider.script = event_stream(events, cut=7)
    path = site.route({"ai-proxy": instance(provider)}, upstream=None)
    asked = ASKED | {"stream": True, "stream_options": {"include_usage": True}}
    status, headers, body = site.ask(path, "POST", asked)
    assert (status, body) == (200, events)
    assert site.gate.event(headers["x-request-id"])["output_tokens"] == 2


def test_limits_of_the_route_hold_for_models_too(site: Site, provider: ScriptedUpstream) -> None:
    plugins = {"ai-proxy": instance(provider), "limit-count": {"count": 1, "time_window": 600, "rejected_code": 429}}
    path = site.route(plugins, upstream=None)
    assert [site.ask(path, "POST", ASKED)[0] for _ in range(2)] == [200, 429]
    assert len(provider.requests) == 1


def test_what_cannot_be_read_is_refused(site: Site, provider: ScriptedUpstream) -> None:
    path = site.route({"ai-proxy": instance(provider, max_req_body_size=100)}, upstream=None)
    for bad in (b"{", b"[]", b'{"model":"a","model":"b"}', b"[" * 90, b"\xff"):
        assert site.ask(path, "POST", bad)[0] == 400
    assert site.ask(path, "POST", ASKED | {"x": "y" * 200})[0] == 413
    for refused, why in (
        ({"override": {}}, "override.endpoint is required"),
        ({"provider": "vertex-ai", "override": {}}, "provider_conf or override.endpoint is required"),
        ({"provider": "vertex-ai", "auth": {"gcp": {"service_account_json": "{}"}}}, "no service account"),
        ({"auth": {"header": {"x-a": "b\r\nc: d"}}}, "is no header"),
        ({"auth": {"aws": {}}}, "additional properties forbidden, found aws"),
        ({"keepalive": False}, 'property "keepalive" validation failed'),
        ({"logging": {"summaries": True}}, 'property "logging" validation failed'),
        ({"max_response_bytes": 1}, "additional properties forbidden, found max_response_bytes"),
    ):
        assert why in site.refused({"ai-proxy": instance(provider, **refused)})


def test_an_endpoint_that_nodes_may_not_have_is_not_asked(site: Site, provider: ScriptedUpstream) -> None:
    forbidden = {"endpoint": "http://169.254.169.254/v1"}
    path = site.route({"ai-proxy": instance(provider, override=forbidden)}, upstream=None)
    status, _, body = site.ask(path, "POST", ASKED)
    assert status == 502
    assert b"allow_nodes" in body


CLAUDE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Good day"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 2},
}


def test_a_provider_of_another_dialect_is_asked_in_its_own_and_its_options_are_its_own(
    site: Site, provider: ScriptedUpstream
) -> None:
    provider.script = json_answer(200, CLAUDE)
    conf = instance(
        provider,
        provider="anthropic-compatible",
        auth={"header": {"x-api-key": "sk-ant"}, "query": {"beta": "true"}},
        options={"model": "claude-sonnet-4-5", "max_tokens": 50, "top_k": 3},
        override=at(provider, ""),
    )
    path = site.route({"ai-proxy": conf}, upstream=None)
    status, headers, body = site.ask(path, "POST", ASKED | {"max_tokens": 9000})
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "Good day")
    (sent,) = provider.requests
    assert (sent.path, sent.headers["x-api-key"]) == ("/v1/messages?beta=true", "sk-ant")
    assert {name: sent.json()[name] for name in ("model", "max_tokens", "top_k")} == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 50,
        "top_k": 3,
    }
    event = site.gate.event(headers["x-request-id"])
    assert (event["provider"], event["input_tokens"], event["output_tokens"]) == ("anthropic-compatible", 7, 2)


def test_clients_of_other_dialects_are_answered_in_theirs(site: Site, provider: ScriptedUpstream) -> None:
    path = site.route({"ai-proxy": instance(provider)}, upstream=None)
    asked = {"model": "any", "max_tokens": 10, "messages": ASKED["messages"]}
    status, _, body = site.ask(path + "/v1/messages", "POST", asked)
    assert (status, json.loads(body)["content"][0]["text"]) == (200, "Hello!")
    asked = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    status, _, body = site.ask(path + "/v1beta/models/any:generateContent", "POST", asked)
    assert (status, json.loads(body)["candidates"][0]["content"]["parts"][0]["text"]) == (200, "Hello!")
    assert [(each.path, each.json()["model"]) for each in provider.requests] == [
        ("/v1/chat/completions", "gpt-4o-mini")
    ] * 2
    provider.script = json_answer(500, {"error": {"message": "down"}})
    status, _, body = site.ask(path + "/v1/messages", "POST", asked | {"messages": ASKED["messages"], "max_tokens": 1})
    assert (status, json.loads(body)["type"]) == (500, "error")


RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o-mini-2024-07-18",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Good day"}]}],
    "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
}


def test_a_client_of_responses_is_answered_as_one_and_goes_on_from_there(
    site: Site, provider: ScriptedUpstream
) -> None:
    provider.script = json_answer(200, RESPONSE)
    one = {"name": "responder", "weight": 1, **instance(provider, provider="openai", options={"model": "gpt-4o-mini"})}
    path = site.route({"ai-proxy-multi": {"instances": [one]}}, upstream=None)
    for asked in ({"input": "hi"}, {"input": "and?", "previous_response_id": "resp_1", "model": "any"}):
        status, headers, body = site.ask(path + "/v1/responses", "POST", asked)
        assert (status, json.loads(body)["output"]) == (200, RESPONSE["output"]), body
        sent = provider.requests[-1]
        assert (sent.path, sent.json()["input"]) == ("/v1/responses", asked["input"])
        assert sent.json()["model"] == "gpt-4o-mini"
        event = site.gate.event(headers["x-request-id"])
        assert (event["dialect"], event["input_tokens"], event["output_tokens"]) == ("openai_responses", 5, 2)


def test_an_endpoint_with_a_path_and_a_query_is_asked_as_it_is_written(site: Site, provider: ScriptedUpstream) -> None:
    azure = at(provider, "/openai/deployments/mini/chat/completions?api-version=2030-01-01")
    conf = instance(provider, provider="azure-openai", auth={"header": {"api-key": "az"}}, override=azure)
    assert site.ask(site.route({"ai-proxy": conf}, upstream=None), "POST", ASKED)[0] == 200
    conf = instance(provider, override=at(provider, "/some/where"))
    assert site.ask(site.route({"ai-proxy": conf}, upstream=None), "POST", ASKED)[0] == 200
    first, second = provider.requests
    assert first.path == "/openai/deployments/mini/chat/completions?api-version=2030-01-01"
    assert first.headers["api-key"] == "az"
    assert second.path == "/some/where"


def test_what_is_asked_is_overridden_as_far_as_it_is_forced(site: Site, provider: ScriptedUpstream) -> None:
    bodies = {"openai-chat": {"seed": 1, "user": "route", "metadata": {"a": 1, "b": 2}}}
    asked = ASKED | {"user": "client", "metadata": {"a": 0}, "max_tokens": 5, "stream": True}
    for forced, told in ((False, ("client", {"a": 0, "b": 2})), (True, ("route", {"a": 1, "b": 2}))):
        override = {**at(provider), "llm_options": {"max_tokens": 77}, "request_body": bodies}
        conf = instance(
            provider,
            override={**override, "request_body_force_override": forced},
            options={"model": "gpt-4o-mini", "stream": False},
        )
        assert site.ask(site.route({"ai-proxy": conf}, upstream=None), "POST", asked)[0] == 200
        sent = provider.requests[-1].json()
        assert (sent["user"], sent["metadata"]) == told
        assert (sent["seed"], sent["max_tokens"], sent["stream"]) == (1, 77, False)


def test_a_service_account_of_googles_is_asked_for_a_token_that_is_kept(site: Site, provider: ScriptedUpstream) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    chat, url = provider.script, f"http://127.0.0.1:{provider.port}/token"

    def script(asked: Request, connection: Connection) -> bool | None:
        if asked.path != "/token":
            return chat(asked, connection)
        assertion = parse_qs(asked.body.decode())["assertion"][0]
        claims = jwt.decode(assertion, key.public_key(), ["RS256"], audience=url)
        return json_answer(200, {"access_token": "of-" + claims["iss"], "expires_in": 3600})(asked, connection)

    provider.script = script
    account = json.dumps({"client_email": "robot", "private_key": pem, "token_uri": url})
    conf = instance(provider, provider="vertex-ai", auth={"gcp": {"service_account_json": account}})
    path = site.route({"ai-proxy": conf}, upstream=None)
    assert [site.ask(path, "POST", ASKED)[0] for _ in range(2)] == [200, 200]
    assert [each.path for each in provider.requests] == ["/token", "/v1/chat/completions", "/v1/chat/completions"]
    assert provider.requests[1].headers["authorization"] == "Bearer of-robot"


def test_a_key_of_the_gates_is_charged_itself_and_held_to_its_budget(site: Site, provider: ScriptedUpstream) -> None:
    name = site.consumer({"key-auth": {"key": "ai-by-key"}})
    rich = site.gate.new_key(name=name, team="t", models=["another"])
    path = site.route({"key-auth": {}, "ai-proxy": instance(provider)}, upstream=None)

    status, headers, _ = site.ask(path, "POST", ASKED, apikey=rich)
    assert status == 200
    event = site.gate.event(headers["x-request-id"])
    assert (event["key_id"][:4], event["team"], event["owner"]) == ("key_", "t", name)

    poor = site.gate.new_key(name="poor", owner=name, budgets=["5 tokens/month"])
    status, _, body = site.ask(path, "POST", ASKED, apikey=poor)
    assert (status, json.loads(body)["error"]["code"]) == (429, "budget_exceeded")


def test_a_dry_run_is_told_and_not_sent(site: Site, provider: ScriptedUpstream) -> None:
    site.consumer({"key-auth": {"key": "ai-dry"}})
    path = site.route({"key-auth": {}, "ai-proxy": instance(provider)}, upstream=None)
    anybodys = site.route({"ai-proxy": instance(provider)}, upstream=None)

    status, _, body = site.ask(path, "POST", ASKED, apikey="ai-dry", x_tollkeeper_dry_run="1")
    told = json.loads(body)

    assert (status, told["dry_run"], told["admitted"], provider.requests) == (200, True, True, [])
    assert told["request"]["url"].startswith(f"http://127.0.0.1:{provider.port}/")
    assert site.ask(path, "POST", ASKED, apikey="ai-dry", x_tollkeeper_dry_run="yes")[0] == 400
    assert site.ask(anybodys, "POST", ASKED, x_tollkeeper_dry_run="1")[0] == 400
    assert provider.requests == []


def test_what_apisix_fills_in_by_itself_is_taken(site: Site, provider: ScriptedUpstream) -> None:
    filled = {
        "keepalive": True,
        "keepalive_timeout": 60000,
        "keepalive_pool": 30,
        "ssl_verify": True,
        "streaming_flush_interval_ms": 10,
        "logging": {"summaries": False, "payloads": False},
    }
    site.route({"ai-proxy": instance(provider, **filled)}, upstream=None)
    site.route(
        {"ai-proxy-multi": {"instances": [{"name": "one", "weight": 1, **instance(provider)}], **filled}}, upstream=None
    )
