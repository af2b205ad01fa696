"""api-breaker at the gate's door."""

from typing import Any

from kit.routed import Site

CONF: dict[str, Any] = {
    "break_response_code": 599,
    "break_response_body": "resting",
    "break_response_headers": [{"key": "x-broken", "value": "$uri"}],
    "unhealthy": {"http_statuses": [500], "failures": 2},
}


def test_after_failures_in_a_row_the_upstream_is_left_in_peace(site: Site) -> None:
    path = site.route({"api-breaker": CONF})
    failing = path + "?answer-status=500"
    assert [site.ask(each)[0] for each in (failing, path, failing)] == [500, 200, 500]
    assert site.ask(failing)[0] == 500
    before = len(site.upstream.requests)
    status, headers, body = site.ask(path)
    assert (status, body, headers["x-broken"]) == (599, b"resting", path)
    assert len(site.upstream.requests) == before
    assert site.ask(path + "/other")[0] == 200


def test_headers_need_a_body(site: Site) -> None:
    conf = {"break_response_code": 502, "break_response_headers": [{"key": "a", "value": "b"}]}
    assert "without break_response_body" in site.refused({"api-breaker": conf})
