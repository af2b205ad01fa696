"""An upstream: its nodes in both forms, who is chosen, what is told to whom."""

from random import Random
from typing import Any

import pytest

from kit.exchanges import exchange
from tollkeeper.routes.nodes import split
from tollkeeper.routes.upstreams import Upstream


def upstream(**conf: Any) -> Upstream:
    return Upstream("u", conf, Random(1), lambda: 0.0)


def test_nodes_have_two_forms_and_ports_by_scheme() -> None:
    mapped = upstream(nodes={"a": 1, "b:8080": 2, "[::1]:90": 1, "off:1": 0}, scheme="https")
    listed = upstream(nodes=[{"host": "a", "weight": 1}, {"host": "b", "port": 81, "weight": 1}])

    assert [(node.host, node.port) for node in mapped.nodes] == [("a", 443), ("b", 8080), ("::1", 90), ("off", 1)]
    assert [(node.host, node.port) for node in listed.nodes] == [("a", 80), ("b", 81)]
    assert (mapped.retries, upstream(nodes={"a": 1}, retries=5).retries) == (2, 5)


def test_a_lower_priority_is_asked_when_the_higher_has_been() -> None:
    of = upstream(nodes=[{"host": "a", "weight": 1, "priority": 1}, {"host": "b", "weight": 1}])
    first = of.choose(exchange(), [])
    assert first is not None
    second = of.choose(exchange(), [first])
    assert second is not None

    assert (first.host, second.host, of.choose(exchange(), [first, second])) == ("a", "b", None)


def test_an_unhealthy_node_is_left_out_while_there_is_a_healthy_one() -> None:
    of = upstream(nodes={"a": 1, "b": 1}, checks={"active": {}})
    of.nodes[0].healthy = False
    assert {node.host for _ in range(4) if (node := of.choose(exchange(), []))} == {"b"}

    of.nodes[1].healthy = False
    assert {node.host for _ in range(4) if (node := of.choose(exchange(), []))} == {"a", "b"}


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({}, b"asked.com"),
        ({"pass_host": "node"}, b"node.com:8080"),
        ({"pass_host": "rewrite", "upstream_host": "other.com"}, b"other.com"),
    ],
)
def test_the_host_that_goes_upstream(conf: dict[str, Any], told: bytes) -> None:
    of = upstream(nodes={"node.com:8080": 1}, **conf)
    asked = exchange(host="asked.com")

    assert of.host_for(of.nodes[0], asked) == told
    asked.host = b"plugin.com"
    assert of.host_for(of.nodes[0], asked) == b"plugin.com"


def test_what_is_hashed_keeps_its_node() -> None:
    of = upstream(nodes={f"n{number}": 1 for number in range(8)}, type="chash", key="arg_user")
    chosen = {of.choose(exchange(query=f"user={user}"), []) for user in "ab" for _ in range(5)}

    assert len(chosen) <= 2
    assert len({of.choose(exchange(query=f"user={user}"), []) for user in range(50)}) > 3


def test_tls_is_told_the_name_that_the_certificate_must_have() -> None:
    named = upstream(nodes={"api.com": 1}, scheme="https")
    numbered = upstream(nodes={"10.0.0.1": 1}, scheme="https", tls={"verify": False})

    first = named.hop_to(named.nodes[0], b"asked.com").tls
    second = numbered.hop_to(numbered.nodes[0], b"asked.com:8443").tls
    assert first is not None
    assert second is not None
    assert (first.name, first.verify, second.name, second.verify) == ("api.com", True, "asked.com", False)


def test_a_port_that_is_none_is_refused() -> None:
    assert split("a:80") == ("a", 80)
    with pytest.raises(ValueError, match="invalid port 99999"):
        split("a:99999")
