"""prometheus: what requests came to, at the operators' port."""

from kit.model_routes import ASKED, instance
from kit.routed import Site
from kit.scripted import ScriptedUpstream
from kit.waiting import until


def test_requests_are_counted_by_route_status_and_node(site: Site) -> None:
    rewritten = {"proxy-rewrite": {"uri": "/elsewhere"}}
    site.put("services/counted", {"name": "named service"})
    path = site.route(
        {"prometheus": {"prefer_name": True}, **rewritten},
        name="named route",
        hosts=["*.0.0.1", "127.0.0.1"],
        service_id="counted",
    )
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
            assert 'service="named service"' in line
            assert f'matched_host="127.0.0.1",matched_uri="{path}*"' in line
        assert any(line.startswith("apisix_http_latency_bucket{") and 'type="upstream"' in line for line in lines)
        (sent,) = [each for each in lines if each.startswith("apisix_bandwidth{") and 'type="egress"' in each]
        assert float(sent.rpartition(" ")[2]) > 0


def test_what_models_do_is_counted_by_model_and_instance(site: Site, provider: ScriptedUpstream) -> None:
    path = site.route({"prometheus": {}, "ai-proxy": instance(provider)}, upstream=None)
    assert site.ask(path, "POST", ASKED | {"model": "asked"})[0] == 200

    def lines() -> list[str]:
        body = site.gate.operator("GET", "/apisix/prometheus/metrics")[2].decode()
        return [line for line in body.splitlines() if f'="{path[1:]}"' in line]

    tokens = until(lambda: [line for line in lines() if line.startswith("apisix_llm_")])
    found = {line.partition("{")[0]: line for line in tokens if 'type="ttft"' not in line}
    assert found["apisix_llm_prompt_tokens"].endswith(" 9.0")
    assert found["apisix_llm_completion_tokens"].endswith(" 3.0")
    assert 'node="openai-compatible",' in found["apisix_llm_prompt_tokens"]
    assert any(line.startswith("apisix_llm_latency_count{") and 'type="ttft"' in line for line in tokens)
    assert "apisix_llm_active_connections" not in found
    (status,) = [line for line in lines() if line.startswith("apisix_http_status{")]
    for label in ('request_type="ai_chat"', 'request_llm_model="asked"', 'llm_model="gpt-4o-mini"'):
        assert label in status
        assert label in found["apisix_llm_prompt_tokens"]


def test_the_numbers_are_behind_the_operators_key(site: Site) -> None:
    import urllib.error
    import urllib.request

    import pytest

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(site.gate.operator_url + "/apisix/prometheus/metrics", timeout=30)


def test_nodes_with_active_checks_are_told_by_upstream(site: Site) -> None:
    active = {"healthy": {"interval": 1}, "unhealthy": {"interval": 1, "tcp_failures": 1}}
    nodes = {site.node: 1, "127.0.0.1:1": 1}
    site.put("upstreams/watched", {"nodes": nodes, "type": "roundrobin", "checks": {"active": active}})
    site.ask(site.route({}, upstream=None, upstream_id="watched"))
    port = site.node.rpartition(":")[2]

    def told() -> set[str]:
        return set(site.gate.operator("GET", "/metrics")[2].decode().splitlines())

    line = 'apisix_upstream_status{ip="127.0.0.1",name="/apisix/upstreams/watched",port="%s"} %s'
    until(lambda: {line % (port, "1.0"), line % ("1", "0.0")} <= told())
    assert any(each.startswith('apisix_node_info{hostname="') for each in told())
