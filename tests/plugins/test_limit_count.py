"""limit-count at the gate's door."""

import json
from pathlib import Path

from kit.redis import MASTER, PASSWORD, redis_cluster, redis_server, redis_watched, said
from kit.routed import Site


def statuses(site: Site, *paths: str, **headers: str) -> list[int]:
    return [site.ask(path, **headers)[0] for path in paths]


def test_so_many_pass_and_the_headers_tell_what_is_left(site: Site) -> None:
    path = site.route({"limit-count": {"count": 2, "time_window": 600, "rejected_code": 429, "rejected_msg": "slow"}})
    left = []
    for _ in range(3):
        status, headers, body = site.ask(path)
        left.append((status, headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]))
        assert 0 < int(headers["x-ratelimit-reset"]) <= 600
    assert left == [(200, "2", "1"), (200, "2", "0"), (429, "2", "0")]
    assert json.loads(body) == {"error_msg": "slow"}


def test_each_key_has_its_own_and_nothing_falls_back_to_the_address(site: Site) -> None:
    path = site.route({"limit-count": {"count": 1, "time_window": 600, "key": "http_a"}})
    assert statuses(site, path, path, a="1") == [200, 503]
    assert statuses(site, path, path, a="2") == [200, 503]
    assert statuses(site, path, path) == [200, 503]


def test_a_combination_of_variables_is_one_key(site: Site) -> None:
    conf = {"count": 1, "time_window": 600, "key": "$arg_a $arg_b", "key_type": "var_combination"}
    path = site.route({"limit-count": conf})
    assert statuses(site, f"{path}?a=1&b=1", f"{path}?a=1&b=2", f"{path}?b=1&a=1") == [200, 200, 503]


def test_rules_must_all_hold_and_have_headers_of_their_own(site: Site) -> None:
    rules = [
        {"count": 1, "time_window": 600, "key": "$http_user", "header_prefix": "user"},
        {"count": 2, "time_window": 600, "key": "$http_tenant"},
    ]
    path = site.route({"limit-count": {"rules": rules}})
    status, headers, _ = site.ask(path, user="a", tenant="t")
    assert (status, headers["x-user-ratelimit-remaining"], headers["x-2-ratelimit-remaining"]) == (200, "0", "1")
    assert statuses(site, path, path, user="a", tenant="t") == [503, 503]
    assert statuses(site, path, user="b", tenant="t") == [200]
    assert statuses(site, path, user="c", tenant="t") == [503]


def test_the_count_can_be_a_variable(site: Site) -> None:
    path = site.route({"limit-count": {"count": "${http_most}", "time_window": 600}})
    assert statuses(site, path, path, path, most="2") == [200, 200, 503]
    assert statuses(site, path, most="many") == [500]


def test_a_group_shares_one_counter_and_one_configuration(site: Site) -> None:
    conf = {"count": 2, "time_window": 600, "group": "shared"}
    one, two = site.route({"limit-count": conf}), site.route({"limit-count": conf})
    assert statuses(site, one, two, one, two) == [200, 200, 503, 503]
    assert site.refused({"limit-count": {**conf, "count": 3}}).endswith("group conf mismatched")


def test_another_configuration_begins_anew(site: Site) -> None:
    conf = {"count": 1, "time_window": 600}
    upstream = {"nodes": {site.node: 1}, "type": "roundrobin"}
    for count in (1, 2):
        value = {"uri": "/anew", "plugins": {"limit-count": {**conf, "count": count}}, "upstream": upstream}
        site.put("routes/anew", value)
        assert statuses(site, *["/anew"] * (count + 1)) == [200] * count + [503]


def test_metadata_renames_the_headers(site: Site) -> None:
    site.put("plugin_metadata/limit-count", {"remaining_header": "X-Left"})
    try:
        path = site.route({"limit-count": {"count": 5, "time_window": 600}})
        assert site.ask(path)[1]["x-left"] == "4"
    finally:
        site.gate.operator("DELETE", "/apisix/admin/plugin_metadata/limit-count")


def test_counters_may_be_kept_in_a_redis_cluster_or_where_sentinels_say(site: Site, tmp_path: Path) -> None:
    limit = {"count": 2, "time_window": 600, "redis_password": PASSWORD, "redis_timeout": 20000}
    with redis_cluster(tmp_path) as ports:
        nodes = [f"127.0.0.1:{port}" for port in ports[:2]]
        clustered = {**limit, "policy": "redis-cluster", "redis_cluster_nodes": nodes, "redis_cluster_name": "c"}
        for each in range(6):
            path = site.route({"limit-count": {**clustered, "key": f"{each}", "key_type": "constant"}})
            assert statuses(site, path, path, path) == [200, 200, 503]
        assert sum(int(said(port, "DBSIZE")) for port in ports) == 6
    with redis_watched(tmp_path) as (sentinel, master, _):
        watched = {**limit, "policy": "redis-sentinel", "redis_master_name": MASTER, "sentinel_password": "watching"}
        watched["redis_sentinels"] = [{"host": "127.0.0.1", "port": sentinel}]
        path = site.route({"limit-count": {**watched, "window_type": "sliding"}})
        assert statuses(site, path, path, path)[:2] == [200, 200]
        assert said(master, "DBSIZE").strip() == "1"


def test_redis_may_be_told_now_and_then(site: Site, tmp_path: Path) -> None:
    limit = {"count": 2, "time_window": 600, "policy": "redis", "redis_host": "127.0.0.1", "redis_timeout": 20000}
    with redis_server(tmp_path) as port:
        limit |= {"redis_port": port, "redis_password": PASSWORD, "sync_interval": 600}
        path = site.route({"limit-count": limit})
        assert statuses(site, path, path, path) == [200, 200, 503]
        [key] = said(port, "KEYS", "*").split()
        assert said(port, "GET", key).strip() == "1"
    for interval, why in ((0.05, "should not be smaller than 0.1"), (601, "should be smaller than time_window")):
        assert f"sync_interval {why}" in site.refused({"limit-count": {**limit, "sync_interval": interval}})


def test_counters_elsewhere_need_to_be_told_where(site: Site) -> None:
    limit = {"count": 1, "time_window": 1}
    for policy, more, why in (
        ("redis-cluster", {}, 'property "redis_cluster_nodes" is required'),
        ("redis-cluster", {"redis_cluster_nodes": ["a:1"]}, 'property "redis_cluster_name" is required'),
        ("redis-cluster", {"redis_cluster_nodes": ["aa"], "redis_cluster_name": "c"}, "aa is not host:port"),
        ("redis-sentinel", {"redis_master_name": "m"}, 'property "redis_sentinels" is required'),
        ("redis-sentinel", {"redis_role": "slave"}, 'property "redis_role" validation failed'),
        ("elsewhere", {}, 'property "policy" validation failed: matches none of the enum values'),
    ):
        assert why in site.refused({"limit-count": {**limit, "policy": policy, **more}})


def test_counters_may_be_kept_in_redis_and_be_missed_where_it_is_away(site: Site, tmp_path: Path) -> None:
    limit = {"count": 2, "time_window": 600, "policy": "redis", "redis_host": "127.0.0.1", "redis_timeout": 20000}
    with redis_server(tmp_path, "secret") as port:
        limit |= {"redis_port": port, "redis_password": "secret"}
        path = site.route({"limit-count": limit})
        seen = [(site.ask(path)[0], site.ask(path, x=str(each))[1]["x-ratelimit-remaining"]) for each in range(2)]
        assert seen == [(200, "0"), (503, "0")]
        other = site.route({"limit-count": limit})
        assert statuses(site, other, other, other) == [200, 200, 503]
    assert statuses(site, path) == [500]
    assert statuses(site, site.route({"limit-count": {**limit, "allow_degradation": True}})) == [200]
    del limit["redis_host"]
    assert 'property "redis_host" is required' in site.refused({"limit-count": limit})
