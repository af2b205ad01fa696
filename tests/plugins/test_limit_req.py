"""limit-req at the gate's door."""

import json

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
