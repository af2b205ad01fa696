"""What a change comes to, in words."""

from typing import Any

from tollkeeper.routes.drafts import Draft
from tollkeeper.routes.effects import effects


def _told(base: dict[str, dict[str, Any]], kind: str, id: str, after: dict[str, Any] | None) -> list[str]:
    draft = Draft(base, 0)
    draft.set(kind, id, after)
    return list(effects(draft.changes(), draft))


def test_a_route_tells_whom_it_takes_what_they_meet_and_where_they_go() -> None:
    base = {
        "services": {"s": {"hosts": ["a.example"], "plugins": {"cors": {}}, "upstream_id": "u"}},
        "upstreams": {"u": {"nodes": {"10.0.0.1:80": 1, "10.0.0.2:80": 1}}},
        "global_rules": {"1": {"plugins": {"prometheus": {}}}},
    }
    route = {"uri": "/speaker/*", "methods": ["GET"], "service_id": "s", "plugins": {"key-auth": {}}}
    assert _told(base, "routes", "r", route) == [
        "GET requests to /speaker/* at a.example meet cors, key-auth, prometheus and go to 10.0.0.1:80 or 10.0.0.2:80."
    ]


def test_a_route_that_goes_takes_nobody_any_more() -> None:
    base = {"routes": {"r": {"uris": ["/a", "/b"]}}}
    assert _told(base, "routes", "r", None) == ["Requests to /a and /b are no longer taken by route r."]


def test_what_an_upstream_or_service_is_changed_under_is_told() -> None:
    base = {
        "upstreams": {"u": {"nodes": {"10.0.0.1:80": 1}}},
        "services": {"s": {"upstream_id": "u"}},
        "routes": {
            "1": {"uri": "/one", "upstream_id": "u"},
            "2": {"uri": "/two", "service_id": "s"},
            "3": {"uri": "/3"},
        },
    }
    assert _told(base, "upstreams", "u", {"nodes": [{"host": "b.example", "port": 81, "weight": 1}]}) == [
        "Requests to /one go to b.example:81.",
        "Requests to /two go to b.example:81.",
    ]


def test_a_route_that_comes_with_its_upstream_is_told_once_and_its_shares_too() -> None:
    draft = Draft({}, 0)
    split = {"weighted_upstreams": [{"weight": 90}, {"upstream_id": "v2", "weight": 10}]}
    draft.set("upstreams", "v1", {"nodes": {"10.0.0.1:80": 1}})
    draft.set("upstreams", "v2", {"nodes": {"10.0.0.2:80": 1}})
    plugins = {"traffic-split": {"rules": [split]}}
    draft.set("routes", "r", {"uri": "/a", "upstream_id": "v1", "plugins": plugins})

    told = ["Requests to /a meet traffic-split and go to 10.0.0.1:80, 1 in 10 to 10.0.0.2:80."]
    assert list(effects(draft.changes(), draft)) == told

    plugins["traffic-split"] = {"rules": [{"match": [{"vars": [["arg_v", "==", "2"]]}], **split}]}
    draft.set("routes", "r", {"uri": "/a", "upstream_id": "v1", "plugins": plugins})
    assert next(effects(draft.changes(), draft)).endswith("1 in 10 of those that fit its rule to 10.0.0.2:80.")


def test_rules_and_consumers_are_told() -> None:
    assert _told({}, "global_rules", "1", {"plugins": {"cors": {}}}) == ["All requests meet cors."]
    assert _told({}, "consumers", "jack", {"plugins": {"key-auth": {"key": "x"}}}) == [
        "The consumer jack may come in by key-auth."
    ]
    assert _told({}, "consumers", "ada", {}) == [
        "The consumer ada may come in by a key of the gate with this name or owner."
    ]
    assert _told({"routes": {"r": {"uri": "/a"}}}, "routes", "r", {"uri": "/a", "status": 0}) == [
        "Requests to /a are not taken: the route is switched off."
    ]
