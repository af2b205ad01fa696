"""ai-proxy-multi before scripted providers."""

from kit.model_routes import ASKED, instance
from kit.routed import Site
from kit.scripted import ScriptedUpstream, chat_answer, json_answer


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
        assert provider.requests
        assert other.requests
        assert len(provider.requests) + len(other.requests) == 24
