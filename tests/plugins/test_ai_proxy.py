"""ai-proxy before a scripted provider."""

import json

from kit.model_routes import ASKED, instance
from kit.routed import Site
from kit.scripted import ScriptedUpstream, chat_events, event_stream, usage_of


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
    assert site.ask(path, "POST", b"{")[0] == 400
    assert site.ask(path, "POST", ASKED | {"x": "y" * 200})[0] == 413
    words = site.refused({"ai-proxy": instance(provider, auth={"header": {"x-other": "k"}})})
    assert "auth.header.x-other is not taken" in words
    assert "override.endpoint is required" in site.refused({"ai-proxy": instance(provider, override={})})


def test_an_endpoint_that_nodes_may_not_have_is_not_asked(site: Site, provider: ScriptedUpstream) -> None:
    forbidden = {"endpoint": "http://169.254.169.254/v1"}
    path = site.route({"ai-proxy": instance(provider, override=forbidden)}, upstream=None)
    status, _, body = site.ask(path, "POST", ASKED)
    assert status == 502
    assert b"allow_nodes" in body
