"""limit-conn at the gate's door."""

import threading

from kit.routed import Answered, Site, telling
from kit.scripted import Connection, Request, ScriptedUpstream


def test_requests_beyond_the_limit_are_refused_until_one_ends(site: Site) -> None:
    go, came = threading.Event(), threading.Event()

    def held(asked: Request, connection: Connection) -> bool:
        if "hold" in asked.path:
            came.set()
            go.wait(30)
        return telling(asked, connection)

    with ScriptedUpstream(held) as upstream:
        path = site.route(
            {"limit-conn": {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "http_k", "rejected_code": 429}},
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
        assert site.ask(path, k="a")[0] == 200
