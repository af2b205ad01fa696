"""In which order instances of models are asked; without a gate."""

from random import Random
from typing import Any

from kit.exchanges import exchange
from tollkeeper.routes.model_balancing import Balancer
from tollkeeper.routes.upstreams import Upstream


def instance(name: str, weight: int = 1, priority: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "weight": weight, "priority": priority, "provider": "openai", "auth": {}, **more}


def balancer(*instances: dict[str, Any], watched: list[Upstream] | None = None, **conf: Any) -> Balancer:
    watch = (watched if watched is not None else []).append
    return Balancer(instances, conf, watch, Random(1), lambda: 0.0)


def test_the_highest_priority_comes_first_and_weights_share_it_out_exactly() -> None:
    made = balancer(instance("a", 3, 1), instance("b", 1, 1), instance("c", 9))
    orders = [made.order(exchange()) for _ in range(8)]
    assert [order[0] for order in orders].count("a") == 6
    assert {order[2] for order in orders} == {"c"}


def test_one_hash_has_one_instance_first() -> None:
    made = balancer(instance("a"), instance("b"), algorithm="chash", hash_on="vars", key="arg_user")
    firsts = [{made.order(exchange(query=f"user={user}"))[0] for _ in range(3)} for user in range(20)]
    assert all(len(each) == 1 for each in firsts)
    assert {"a", "b"} == set().union(*firsts)


def test_ill_instances_are_left_out_while_there_are_others() -> None:
    watched: list[Upstream] = []
    checks = {"active": {"http_path": "/health"}}
    made = balancer(instance("a", priority=1, checks=checks), instance("b", checks=checks), watched=watched)
    assert made.order(exchange()) == ["a", "b"]
    first, second = watched
    assert (first.nodes[0].name, first.checks) == (
        "api.openai.com:443",
        {"active": {"type": "https", "http_path": "/health"}},
    )
    first.nodes[0].healthy = False
    assert made.order(exchange()) == ["b"]
    second.nodes[0].healthy = False
    assert made.order(exchange()) == ["a", "b"]
