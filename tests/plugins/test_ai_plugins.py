"""The plugins that hand over to models, before a scripted provider."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kit.routed import Site
from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer, usage_of

ASKED = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def provider() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as server:
        yield server


def conf(server: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {
        "provider": "openai-compatible",
        "auth": {"header": {"Authorization": "Bearer sk-of-the-route"}},
        "options": {"model": "gpt-4o-mini", "temperature": 0.5},
        "override": {"endpoint": f"http://127.0.0.1:{server.port}/v1/chat/completions"},
        **more,
    }


def test_a_route_is_answered_by_a_model_and_charged_to_the_consumer(site: Site, provider: ScriptedUpstream) -> None:
    consumer = site.consumer({"key-auth": {"key": "ai-one"}})
    path = site.route({"key-auth": {}, "ai-proxy": conf(provider)}, upstream=None)
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
    path = site.route({"ai-proxy": conf(provider)}, upstream=None)
    asked = ASKED | {"stream": True, "stream_options": {"include_usage": True}}
    status, headers, body = site.ask(path, "POST", asked)
    assert (status, body) == (200, events)
    assert site.gate.event(headers["x-request-id"])["output_tokens"] == 2


def test_limits_of_the_route_hold_for_models_too(site: Site, provider: ScriptedUpstream) -> None:
    plugins = {"ai-proxy": conf(provider), "limit-count": {"count": 1, "time_window": 600, "rejected_code": 429}}
    path = site.route(plugins, upstream=None)
    assert [site.ask(path, "POST", ASKED)[0] for _ in range(2)] == [200, 429]
    assert len(provider.requests) == 1


def test_what_cannot_be_read_is_refused(site: Site, provider: ScriptedUpstream) -> None:
    path = site.route({"ai-proxy": conf(provider, max_req_body_size=100)}, upstream=None)
    assert site.ask(path, "POST", b"{")[0] == 400
    assert site.ask(path, "POST", ASKED | {"x": "y" * 200})[0] == 413
    words = site.refused({"ai-proxy": conf(provider, auth={"header": {"x-other": "k"}})})
    assert "auth.header.x-other is not taken" in words
    assert "override.endpoint is required" in site.refused({"ai-proxy": conf(provider, override={})})


def test_an_endpoint_that_nodes_may_not_have_is_not_asked(site: Site, provider: ScriptedUpstream) -> None:
    forbidden = {"endpoint": "http://169.254.169.254/v1"}
    path = site.route({"ai-proxy": conf(provider, override=forbidden)}, upstream=None)
    status, _, body = site.ask(path, "POST", ASKED)
    assert status == 502
    assert b"allow_nodes" in body


def test_where_one_instance_fails_the_next_is_asked(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        instances = [
            {"name": "first", "priority": 1, "weight": 1, **conf(failing)},
            {"name": "second", "priority": 0, "weight": 1, **conf(provider)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        assert site.ask(path, "POST", ASKED)[0] == 200
        assert (len(failing.requests), len(provider.requests)) == (1, 1)


def test_weights_share_calls_out(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "wa", "weight": 1, **conf(provider)},
            {"name": "wb", "weight": 1, **conf(other)},
            {"name": "wc", "weight": 0, **conf(other)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        for _ in range(24):
            assert site.ask(path, "POST", ASKED)[0] == 200
        assert provider.requests
        assert other.requests
        assert len(provider.requests) + len(other.requests) == 24


def test_tokens_are_charged_after_the_answer_and_refused_when_they_are_gone(
    site: Site, provider: ScriptedUpstream
) -> None:
    limit = {"limit": 20, "time_window": 600, "rejected_code": 429}
    path = site.route({"ai-proxy": conf(provider), "ai-rate-limiting": limit}, upstream=None)
    seen = []
    for _ in range(3):
        status, headers, _ = site.ask(path, "POST", ASKED)
        if status == 200:
            site.gate.event(headers["x-request-id"])
        seen.append((status, headers["x-ai-ratelimit-remaining-ai-proxy"]))
    assert seen == [(200, "20"), (200, "8"), (429, "0")]


def test_a_template_makes_the_request(site: Site) -> None:
    template = {"model": "m", "messages": [{"role": "user", "content": "Explain {{ topic }} to {{ whom }}."}]}
    path = site.route({"ai-prompt-template": {"templates": [{"name": "explain", "template": template}]}})
    told = site.told(path, "POST", {"template_name": "explain", "topic": "{{ 7 * 7 }}", "whom": "Ada"})
    assert json.loads(told["body"])["messages"][0]["content"] == "Explain {{ 7 * 7 }} to Ada."
    for body, words in (
        ({"topic": "x"}, "template name is missing in request."),
        ({"template_name": "other"}, "template: other not configured."),
    ):
        status, _, found = site.ask(path, "POST", body)
        assert (status, json.loads(found)["message"]) == (400, words)


def test_messages_are_put_around_those_of_the_request(site: Site) -> None:
    before, after = {"role": "system", "content": "be brief"}, {"role": "user", "content": "thanks"}
    path = site.route({"ai-prompt-decorator": {"prepend": [before], "append": [after]}})
    told = json.loads(site.told(path, "POST", ASKED | {"keep": 1})["body"])
    assert (told["messages"], told["keep"]) == ([before, *ASKED["messages"], after], 1)
    assert site.ask(path, "POST", b"x")[0] == 400


def test_prompts_are_guarded(site: Site) -> None:
    path = site.route({"ai-prompt-guard": {"allow_patterns": ["order", "hi"], "deny_patterns": ["(?i)password"]}})

    def said(*messages: str) -> tuple[int, str]:
        body = {"messages": [{"role": "user", "content": each} for each in messages]}
        status, _, found = site.ask(path, "POST", body)
        return status, json.loads(found).get("message", "")

    assert said("hi")[0] == 200
    assert said("weather?") == (400, "Request doesn't match allow patterns")
    assert said("hi, your PASSWORD?") == (400, "Request contains prohibited content")
    assert said("password", "hi")[0] == 200
    whole = {"deny_patterns": ["password"], "match_all_conversation_history": True}
    path = site.route({"ai-prompt-guard": whole})
    assert said("password", "hi")[0] == 400
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "password"}]}]}
    assert site.ask(path, "POST", parts)[0] == 400
    assert site.ask(path, "POST", b"x")[0] == 400
