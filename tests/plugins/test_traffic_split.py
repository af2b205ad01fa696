"""traffic-split at the gate's door."""

from collections import Counter
from typing import Any

from kit.routed import Site, telling
from kit.scripted import ScriptedUpstream


def nodes(port: int) -> dict[str, Any]:
    return {"nodes": {f"127.0.0.1:{port}": 1}, "type": "roundrobin"}


def test_shares_are_exact_over_a_cycle_and_the_routes_own_upstream_is_one(site: Site) -> None:
    with ScriptedUpstream(telling) as other, ScriptedUpstream(telling) as third:
        site.put("upstreams/split", nodes(third.port))
        shares = [{"upstream": nodes(other.port), "weight": 3}, {"upstream_id": "split", "weight": 1}, {"weight": 1}]
        path = site.route({"traffic-split": {"rules": [{"weighted_upstreams": shares}]}})
        for _ in range(10):
            assert site.ask(path)[0] == 200
        assert (len(other.requests), len(third.requests)) == (6, 2)


def test_the_first_rule_that_matches_decides(site: Site) -> None:
    with ScriptedUpstream(telling) as other:
        rule = {
            "match": [{"vars": [["http_beta", "==", "1"]]}],
            "weighted_upstreams": [{"upstream": nodes(other.port)}],
        }
        path = site.route({"traffic-split": {"rules": [rule]}})
        seen = Counter(site.ask(path, beta=each)[0] for each in ("0", "1", "1"))
        assert (seen, len(other.requests)) == (Counter({200: 3}), 2)


def test_an_upstream_that_is_gone_is_an_error(site: Site) -> None:
    shares = [{"upstream_id": "nowhere"}]
    path = site.route({"traffic-split": {"rules": [{"weighted_upstreams": shares}]}})
    assert site.ask(path)[0] == 500


def test_an_upstream_that_a_share_describes_is_checked_as_any_other(site: Site) -> None:
    def refused(**upstream: Any) -> str:
        shares = [{"upstream": {"type": "roundrobin", **upstream}}]
        return site.refused({"traffic-split": {"rules": [{"weighted_upstreams": shares}]}})

    assert "node 169.254.169.254:80 is not allowed" in refused(nodes={"169.254.169.254:80": 1})
    assert "missing key" in refused(nodes={"127.0.0.1:80": 1}, type="chash")
    assert "validation failed" in refused(nodes={"127.0.0.1:80": -1})
    assert "additional properties forbidden, found weights" in site.refused(
        {"traffic-split": {"rules": [{"weights": []}]}}
    )
