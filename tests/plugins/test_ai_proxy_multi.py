"""ai-proxy-multi before scripted providers."""

import itertools
from typing import Any

from kit.model_routes import ASKED, instance
from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.waiting import until


def test_where_one_instance_fails_the_next_is_asked(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        instances = [
            {"name": "first", "priority": 1, "weight": 1, **instance(failing)},
            {"name": "second", "priority": 0, "weight": 1, **instance(provider)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        assert site.ask(path, "POST", ASKED)[0] == 200
        assert (len(failing.requests), len(provider.requests)) == (1, 1)


def test_weights_share_calls_out(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "wa", "weight": 1, **instance(provider)},
            {"name": "wb", "weight": 1, **instance(other)},
            {"name": "wc", "weight": 0, **instance(other)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)
        for _ in range(24):
            assert site.ask(path, "POST", ASKED)[0] == 200
        assert (len(provider.requests), len(other.requests)) == (12, 12)


def test_what_leads_to_another_instance_is_what_the_strategy_says(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(500, {"error": {"message": "down"}})) as failing:
        names = itertools.count(1)

        def asked(**conf: Any) -> list[int]:
            found = []
            for status in (500, 429):
                # Of a name of its own: what asked to be left alone once is left alone.
                first = {"name": f"fb{next(names)}", "priority": 1, "weight": 1, **instance(failing)}
                second = {"name": "fb", "weight": 1, **instance(provider, options={"model": "other", "top_p": 0.1})}
                path = site.route({"ai-proxy-multi": {"instances": [first, second], **conf}}, upstream=None)
                failing.script = json_answer(status, {"error": {"message": "no"}})
                found.append(site.ask(path, "POST", ASKED)[0])
            return found

        assert asked(fallback_strategy=["http_429", "rate_limiting"]) == [500, 200]
        assert asked(fallback_strategy="http_5xx") == [200, 429]
        assert asked(fallback_strategy=["http_5xx", "http_429"], max_retries=0) == [500, 429]
        assert {name: provider.requests[-1].json().get(name) for name in ("model", "temperature", "top_p")} == {
            "model": "other",
            "temperature": None,
            "top_p": 0.1,
        }


def test_the_same_hash_goes_to_the_same_instance(site: Site, provider: ScriptedUpstream) -> None:
    with ScriptedUpstream(json_answer(200, chat_answer())) as other:
        instances = [
            {"name": "ha", "weight": 1, **instance(provider)},
            {"name": "hb", "weight": 1, **instance(other)},
        ]
        balancer = {"algorithm": "chash", "hash_on": "header", "key": "x-user"}
        path = site.route({"ai-proxy-multi": {"instances": instances, "balancer": balancer}}, upstream=None)
        went = []
        for user in [f"user-{number}" for number in range(8)] * 2:
            before = len(provider.requests)
            assert site.ask(path, "POST", ASKED, x_user=user)[0] == 200
            went.append(len(provider.requests) > before)
        assert went[:8] == went[8:]
        assert {True, False} == set(went)
        balancer.pop("key")
        words = site.refused({"ai-proxy-multi": {"instances": instances, "balancer": balancer}})
        assert "balancer.key is required" in words


def test_an_instance_that_its_active_check_finds_ill_is_not_asked(site: Site, provider: ScriptedUpstream) -> None:
    def ill(asked: Request, connection: Connection) -> bool | None:
        return json_answer(500 if asked.method == "GET" else 200, chat_answer())(asked, connection)

    with ScriptedUpstream(ill) as other:
        checks = {"active": {"http_path": "/health", "unhealthy": {"interval": 1, "http_failures": 1}}}
        instances = [
            {"name": "ca", "priority": 1, "weight": 1, "checks": checks, **instance(other)},
            {"name": "cb", "weight": 1, **instance(provider)},
        ]
        path = site.route({"ai-proxy-multi": {"instances": instances}}, upstream=None)

        def moved() -> bool:
            assert site.ask(path, "POST", ASKED)[0] == 200
            return bool(provider.requests)

        until(moved)
        asked = sum(each.method == "POST" for each in other.requests)
        assert site.ask(path, "POST", ASKED)[0] == 200
        assert sum(each.method == "POST" for each in other.requests) == asked
