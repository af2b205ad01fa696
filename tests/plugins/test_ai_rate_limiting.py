"""ai-rate-limiting before a scripted provider."""

from pathlib import Path

from kit.model_routes import ASKED, instance
from kit.redis import redis_server
from kit.routed import Site
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.waiting import until


def test_tokens_are_charged_after_the_answer_and_refused_when_they_are_gone(
    site: Site, provider: ScriptedUpstream
) -> None:
    limit = {"limit": 20, "time_window": 600, "rejected_code": 429}
    path = site.route({"ai-proxy": instance(provider), "ai-rate-limiting": limit}, upstream=None)
    seen = []
    for _ in range(3):
        status, headers, _ = site.ask(path, "POST", ASKED)
        if status == 200:
            site.gate.event(headers["x-request-id"])
        seen.append((status, headers["x-ai-ratelimit-remaining-ai-proxy-openai-compatible"]))
    assert seen == [(200, "20"), (200, "8"), (429, "0")]


def test_an_instance_without_tokens_is_passed_over_where_the_strategy_says_so(
    site: Site, provider: ScriptedUpstream
) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "rla", "priority": 1, "weight": 1, **instance(provider)},
            {"name": "rlb", "weight": 1, **instance(other)},
        ]
        limit = {"instances": [{"name": "rla", "limit": 5, "time_window": 600}], "rejected_code": 429}
        for strategy, statuses in (({"fallback_strategy": ["rate_limiting"]}, [200, 200]), ({}, [200, 429])):
            plugins = {"ai-proxy-multi": {"instances": instances, **strategy}, "ai-rate-limiting": limit}
            path = site.route(plugins, upstream=None)
            seen = []
            for _ in range(2):
                status, headers, _ = site.ask(path, "POST", ASKED)
                seen.append(status)
                if status == 200:
                    site.gate.event(headers["x-request-id"])
            assert seen == statuses
        assert (len(provider.requests), len(other.requests)) == (2, 1)


def test_rules_count_by_their_keys_and_an_expression_says_what_is_counted(
    site: Site, provider: ScriptedUpstream
) -> None:
    limit = {
        "rules": [{"count": "${http_x_quota}", "time_window": 600, "key": "${http_x_user}", "header_prefix": "user"}],
        "limit_strategy": "expression",
        "cost_expr": "math.floor(prompt_tokens / 2) + completion_tokens ^ 2",
        "rejected_code": 429,
    }
    path = site.route({"ai-proxy": instance(provider), "ai-rate-limiting": limit}, upstream=None)

    def asked(user: str) -> tuple[int, str]:
        status, headers, _ = site.ask(path, "POST", ASKED, x_user=user, x_quota="20")
        if status == 200:
            site.gate.event(headers["x-request-id"])
        return status, headers["x-user-ai-ratelimit-remaining"]

    assert [asked("ada") for _ in range(3)] == [(200, "20"), (200, "7"), (429, "0")]
    assert asked("bob") == (200, "20")
    status, headers, _ = site.ask(path, "POST", ASKED)
    assert (status, "x-user-ai-ratelimit-remaining" in headers) == (200, False)
    bad = {**limit, "cost_expr": "__import__('os')"}
    assert "invalid cost_expr" in site.refused({"ai-proxy": instance(provider), "ai-rate-limiting": bad})


def test_tokens_may_be_counted_in_redis_and_be_missed_where_it_is_away(
    site: Site, provider: ScriptedUpstream, tmp_path: Path
) -> None:
    limit = {"limit": 20, "time_window": 600, "rejected_code": 429, "policy": "redis", "redis_timeout": 20000}

    def left() -> tuple[int, str | None]:
        status, headers, _ = site.ask(path, "POST", ASKED)
        return status, headers.get("x-ai-ratelimit-remaining-ai-proxy-openai-compatible")

    with redis_server(tmp_path, "secret") as port:
        limit |= {"redis_host": "127.0.0.1", "redis_port": port, "redis_password": "secret"}
        path = site.route({"ai-proxy": instance(provider), "ai-rate-limiting": limit}, upstream=None)
        assert left() == (200, "20")
        until(lambda: left()[0] == 429)
        assert left() == (429, "0")
    assert left() == (500, None)
    free = {**limit, "allow_degradation": True}
    path = site.route({"ai-proxy": instance(provider), "ai-rate-limiting": free}, upstream=None)
    assert left() == (200, None)
