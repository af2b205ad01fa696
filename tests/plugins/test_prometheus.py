"""prometheus: what requests came to, at the operators' port."""

from kit.routed import Site


def test_requests_are_counted_by_route_status_and_node(site: Site) -> None:
    path = site.route({"prometheus": {"prefer_name": True}}, name="named route")
    site.ask(path)
    site.ask(path + "?answer-status=404")
    for place in ("/apisix/prometheus/metrics", "/metrics"):
        status, headers, body = site.gate.operator("GET", place)
        assert status == 200
        assert headers["content-type"].startswith("text/plain")
        lines = [line for line in body.decode().splitlines() if 'route="named route"' in line]
        for code in ("200", "404"):
            (line,) = [each for each in lines if each.startswith("apisix_http_status{") and f'code="{code}"' in each]
            assert line.endswith(" 1.0")
            assert 'node="127.0.0.1"' in line
        assert any(line.startswith("apisix_http_latency_bucket{") and 'type="upstream"' in line for line in lines)
        (sent,) = [each for each in lines if each.startswith("apisix_bandwidth{") and 'type="egress"' in each]
        assert float(sent.rpartition(" ")[2]) > 0


def test_the_numbers_are_behind_the_operators_key(site: Site) -> None:
    import urllib.error
    import urllib.request

    import pytest

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(site.gate.operator_url + "/apisix/prometheus/metrics", timeout=30)
