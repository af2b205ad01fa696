"""limit-req at the gate's door."""

import json
from pathlib import Path

from kit.redis import redis_server
from kit.routed import Site


def test_what_is_far_too_fast_is_refused(site: Site) -> None:
    conf = {"rate": 0.001, "burst": 0, "key": "http_k", "rejected_code": 429, "rejected_msg": "too fast"}
    path = site.route({"limit-req": conf})
    assert site.ask(path, k="a")[0] == 200
    status, _, body = site.ask(path, k="a")
    assert (status, json.loads(body)) == (429, {"error_msg": "too fast"})
    assert site.ask(path, k="b")[0] == 200


def test_a_burst_waits_or_passes_at_once(site: Site) -> None:
    path = site.route({"limit-req": {"rate": 0.001, "burst": 1, "key": "remote_addr", "nodelay": True}})
    assert [site.ask(path)[0] for _ in range(3)] == [200, 200, 503]
    path = site.route({"limit-req": {"rate": 5, "burst": 2, "key": "remote_addr"}})
    assert [site.ask(path)[0] for _ in range(3)] == [200, 200, 200]


def test_buckets_may_be_kept_in_redis_and_be_missed_where_it_is_away(site: Site, tmp_path: Path) -> None:
    conf = {"rate": 0.001, "burst": 1, "key": "http_k", "nodelay": True, "policy": "redis", "redis_timeout": 20000}
    with redis_server(tmp_path, "secret") as port:
        conf |= {"redis_host": "127.0.0.1", "redis_port": port, "redis_password": "secret"}
        path = site.route({"limit-req": conf})
        assert [site.ask(path, k="a")[0] for _ in range(3)] == [200, 200, 503]
        assert site.ask(path, k="b")[0] == 200
        quick = site.route({"limit-req": {**conf, "rate": 1000, "burst": 5, "nodelay": False}})
        assert [site.ask(quick, k="a")[0] for _ in range(3)] == [200] * 3
    assert site.ask(path, k="a")[0] == 500
    assert site.ask(site.route({"limit-req": {**conf, "allow_degradation": True}}), k="a")[0] == 200
    del conf["redis_host"]
    assert 'property "redis_host" is required' in site.refused({"limit-req": conf})
