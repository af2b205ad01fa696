"""proxy-cache at the gate's door."""

from typing import Any

from kit.routed import Answered, Site
from kit.waiting import until

CONF: dict[str, Any] = {
    "cache_strategy": "memory",
    "cache_zone": "memory_cache",
    "cache_key": ["$host", "$uri"],
    "cache_bypass": ["$arg_bypass"],
    "no_cache": ["$arg_no_cache"],
}


def state(answer: Answered) -> tuple[int, str | None]:
    return answer[0], answer[1].get("apisix-cache-status")


def asked(site: Site, path: str) -> int:
    return sum(each.path.startswith(path) for each in site.upstream.requests)


def test_an_answer_is_given_again_until_it_is_purged(site: Site) -> None:
    path = site.route({"proxy-cache": CONF})
    assert state(site.ask(path)) == (200, "MISS")
    status, headers, body = site.ask(path)
    assert (status, headers["apisix-cache-status"], headers["age"]) == (200, "HIT", "0")
    assert body == site.ask(path)[2]
    assert asked(site, path) == 1
    assert state(site.ask(path + "?bypass=1")) == (200, "BYPASS")
    assert site.ask(path, "PURGE")[0] == 200
    assert state(site.ask(path + "?no_cache=1")) == (200, "MISS")
    assert state(site.ask(path)) == (200, "MISS")
    assert site.ask(path + "/other", "PURGE")[0] == 404


def test_what_is_private_or_sets_a_cookie_is_never_kept(site: Site) -> None:
    for header in ("set-cookie:a=1", "cache-control:private", "cache-control:no-store", "vary:*"):
        path = site.route({"proxy-cache": CONF}) + f"?answer-header={header}"
        assert [state(site.ask(path))[1] for _ in range(2)] == ["MISS", "MISS"], header


def test_a_directive_whose_seconds_are_no_number_is_none(site: Site) -> None:
    path = site.route({"proxy-cache": {**CONF, "cache_control": True}})
    assert site.ask(path, cache_control="max-stale=\xb2")[0] == 200


def test_answers_that_vary_are_kept_side_by_side(site: Site) -> None:
    path = site.route({"proxy-cache": CONF}) + "?answer-header=vary:x-lang"
    seen = [state(site.ask(path, x_lang=lang))[1] for lang in ("de", "en", "de", "en")]
    assert seen == ["MISS", "MISS", "HIT", "HIT"]


def test_consumers_do_not_see_each_others_answers(site: Site) -> None:
    site.consumer({"key-auth": {"key": "pc-one"}})
    site.consumer({"key-auth": {"key": "pc-two"}})
    path = site.route({"key-auth": {}, "proxy-cache": CONF})
    seen = [state(site.ask(path, apikey=key))[1] for key in ("pc-one", "pc-two", "pc-one")]
    assert seen == ["MISS", "MISS", "HIT"]


def test_what_answers_a_credential_of_nobody_is_not_kept(site: Site) -> None:
    path = site.route({"proxy-cache": CONF})
    assert [state(site.ask(path, authorization="Bearer x"))[1] for _ in range(2)] == ["MISS", "MISS"]


def test_the_status_decides_and_the_body_must_be_whole_and_small(site: Site) -> None:
    path = site.route({"proxy-cache": CONF}) + "?answer-status=500"
    assert [state(site.ask(path)) for _ in range(2)] == [(500, "MISS")] * 2
    path = site.route({"proxy-cache": {**CONF, "max_resp_body_size": 5}}) + "?answer-body=123456"
    assert [state(site.ask(path))[1] for _ in range(2)] == ["MISS", "MISS"]


def test_directives_count_where_that_is_wanted(site: Site) -> None:
    path = site.route({"proxy-cache": {**CONF, "cache_control": True}})
    assert site.ask(path, cache_control="only-if-cached")[0] == 504
    assert state(site.ask(path))[1] == "MISS"
    assert state(site.ask(path, cache_control="only-if-cached"))[1] == "HIT"
    assert state(site.ask(path, cache_control="no-cache"))[1] == "BYPASS"
    path = site.route({"proxy-cache": {**CONF, "cache_control": True}}) + "?answer-header=cache-control:max-age=0"
    assert [state(site.ask(path))[1] for _ in range(2)] == ["MISS", "MISS"]


def test_zone_and_strategy_belong_together(site: Site) -> None:
    words = "failed to check the configuration of plugin proxy-cache err: "
    assert site.refused({"proxy-cache": {"cache_strategy": "memory"}}) == (
        words + "invalid or empty cache_zone for cache_strategy: memory"
    )
    assert site.refused({"proxy-cache": {"cache_zone": "nowhere"}}) == words + "cache_zone nowhere not found"
    assert "unsupported" in site.refused({"proxy-cache": {"cache_key": ["$request_method"]}})


def test_a_zone_has_the_size_that_is_configured(site: Site) -> None:
    path = site.route({"proxy-cache": {**CONF, "cache_zone": "small"}}) + "/"
    body = "?answer-body=" + "x" * 1500
    seen = [state(site.ask(path + each + body))[1] for each in "aaba"]
    assert seen == ["MISS", "HIT", "MISS", "HIT"]
    assert [state(site.ask(path + each + body))[1] for each in "cdb"] == ["MISS", "MISS", "MISS"]


def test_a_zone_has_the_time_that_is_configured_where_the_plugin_says_none(site: Site) -> None:
    conf = {"cache_zone": "brief", "cache_key": ["$uri"]}
    brief, long = site.route({"proxy-cache": conf}), site.route({"proxy-cache": {**conf, "cache_ttl": 300}})
    assert [state(site.ask(path))[1] for path in (brief, long)] == ["MISS", "MISS"]
    assert until(lambda: state(site.ask(brief))[1] == "EXPIRED")
    assert state(site.ask(long))[1] == "HIT"


def test_a_head_is_answered_out_of_what_was_kept_of_a_get_and_never_the_other_way(site: Site) -> None:
    path = site.route({"proxy-cache": CONF})
    assert state(site.ask(path + "/head", "HEAD"))[1] == "MISS"
    assert state(site.ask(path + "/head", "HEAD"))[1] == "HIT"
    assert state(site.ask(path + "/head"))[1] == "MISS"
    length = site.ask(path)[1]["content-length"]

    status, headers, body = site.ask(path, "HEAD")
    assert (status, headers["apisix-cache-status"], headers["content-length"], body) == (200, "HIT", length, b"")
    assert [each.method for each in site.upstream.requests if each.path == path] == ["GET"]


def test_what_the_gate_itself_answers_is_not_kept_for_whoever_asks_next(site: Site) -> None:
    path = site.route({"proxy-cache": CONF, "proxy-rewrite": {"uri": "/v1/models"}}, upstream=None)
    key = site.gate.new_key()
    assert [site.ask(path, x_api_key=key)[0] for _ in range(2)] == [200, 200]
    assert site.ask(path)[0] == 401
