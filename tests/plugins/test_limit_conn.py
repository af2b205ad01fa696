"""limit-conn at the gate's door."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from kit.redis import redis_server
from kit.routed import Answered, Site, telling
from kit.scripted import Connection, Request, ScriptedUpstream
from kit.waiting import until

CONF: dict[str, Any] = {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "http_k", "rejected_code": 429}


@pytest.mark.parametrize("policy", ["local", "redis"])
def test_requests_beyond_the_limit_are_refused_until_one_ends(site: Site, policy: str, tmp_path: Path) -> None:
    go, came = threading.Event(), threading.Event()

    def held(asked: Request, connection: Connection) -> bool:
        if "hold" in asked.path:
            came.set()
            go.wait(30)
        return telling(asked, connection)

    with ScriptedUpstream(held) as upstream, contextlib.ExitStack() as stack:
        conf = {**CONF, "policy": policy}
        if policy == "redis":
            port = stack.enter_context(redis_server(tmp_path, "secret"))
            conf |= {"redis_host": "127.0.0.1", "redis_port": port, "redis_password": "secret", "redis_timeout": 20000}
        path = site.route(
            {"limit-conn": conf},
            upstream={"nodes": {f"127.0.0.1:{upstream.port}": 1}, "type": "roundrobin"},
        )
        answers: list[Answered] = []
        first = threading.Thread(target=lambda: answers.append(site.ask(path + "/hold", k="a")))
        first.start()
        assert came.wait(30)
        assert site.ask(path, k="a")[0] == 429
        assert site.ask(path, k="b")[0] == 200
        go.set()
        first.join(30)
        assert answers[0][0] == 200
        assert until(lambda: site.ask(path, k="a")[0] == 200)


def test_where_redis_is_away_requests_fail_or_pass_as_is_said(site: Site) -> None:
    conf = {**CONF, "policy": "redis", "redis_host": "127.0.0.1", "redis_port": 1}
    assert site.ask(site.route({"limit-conn": conf}))[0] == 500
    assert site.ask(site.route({"limit-conn": {**conf, "allow_degradation": True}}))[0] == 200
    del conf["redis_host"]
    assert 'property "redis_host" is required' in site.refused({"limit-conn": conf})
