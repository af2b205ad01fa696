"""Which node gets the next request."""

from collections import Counter
from random import Random

from tollkeeper.routes import balancing
from tollkeeper.routes.nodes import Node


def nodes(*weights: int) -> list[Node]:
    return [Node(f"n{place}", 80, weight) for place, weight in enumerate(weights)]


def test_round_robin_is_exact_over_a_cycle_and_spread_out() -> None:
    of = nodes(5, 1, 1)

    names = [balancing.round_robin(of, "").host for _ in range(14)]

    assert names[:7] == ["n0", "n0", "n1", "n0", "n2", "n0", "n0"]
    assert Counter(names) == {"n0": 10, "n1": 2, "n2": 2}


def test_least_connections_weighs_what_is_under_way() -> None:
    of = nodes(1, 4)
    of[1].active = 2

    assert balancing.least_connections(of, "").host == "n1"
    of[1].active = 8
    assert balancing.least_connections(of, "").host == "n0"


def test_the_quicker_of_two_is_asked() -> None:
    of = nodes(1, 1)
    of[0].took(1.0, 0.0)
    of[1].took(0.1, 0.0)

    pick = balancing.by_latency(Random(1), lambda: 0.0)

    assert {pick(of, "").host for _ in range(10)} == {"n1"}
    assert of[0].latency(100.0) < of[0].latency(1.0)


def test_a_hashed_value_keeps_its_node_when_another_goes() -> None:
    of = nodes(1, 1, 1)
    ring = balancing.Ring(of)
    before = {str(value): ring.pick(of, str(value)).host for value in range(300)}

    left = of[:2]
    after = {value: ring.pick(left, value).host for value in before}

    assert min(Counter(before.values()).values()) > 50
    assert all(after[value] == host for value, host in before.items() if host != "n2")


def test_a_ring_has_a_bounded_number_of_points_whatever_its_nodes_weigh() -> None:
    ring = balancing.Ring(nodes(10**9, 1, 10**9))

    assert 65_000 < len(ring._names) < 70_000
    assert sum(name == "n1:80" for name in ring._names) == 1


def test_many_nodes_share_the_points_of_a_ring() -> None:
    counts = Counter(balancing.Ring(nodes(*[1] * 1000))._names)

    assert (len(counts), set(counts.values())) == (1000, {65})
