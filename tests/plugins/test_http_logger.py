"""http-logger at the gate's door."""

import json

from kit.routed import Site
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from kit.waiting import until


def test_requests_are_told_in_batches_without_credentials(site: Site) -> None:
    with ScriptedUpstream(json_answer(200, {})) as server:
        conf = {
            "uri": f"http://127.0.0.1:{server.port}/log",
            "auth_header": "Basic abc",
            "batch_max_size": 2,
            "include_req_body": True,
            "include_resp_body": True,
        }
        path = site.route({"http-logger": conf})
        passed_on = dict.fromkeys(
            ("x-access-token", "x-id-token", "x-raw-id-token", "x-refresh-token"), "secret-canary"
        )
        site.ask(path + "?a=1", "POST", {"x": 1}, authorization="Bearer secret-canary", **passed_on)
        site.ask(path)
        (sent,) = until(lambda: server.requests)
        assert (sent.path, sent.headers["authorization"]) == ("/log", "Basic abc")
        first, second = sent.json()
        assert first["request"]["uri"] == path + "?a=1"
        assert {first["request"]["headers"][name] for name in ("authorization", *passed_on)} == {"***"}
        assert json.loads(first["request"]["body"]) == {"x": 1}
        assert json.loads(first["response"]["body"])["method"] == "POST"
        assert (second["request"]["method"], second["response"]["status"]) == ("GET", 200)
        assert second["upstream"] == site.node
        assert "secret-canary" not in json.dumps(first["request"])


def test_a_batch_that_is_refused_is_tried_again_and_fields_are_chosen(site: Site) -> None:
    def script(asked: Request, connection: Connection) -> bool | None:
        return json_answer(500 if len(server.requests) == 1 else 200, {})(asked, connection)

    with ScriptedUpstream(script) as server:
        conf = {
            "uri": f"http://127.0.0.1:{server.port}/",
            "batch_max_size": 1,
            "max_retry_count": 1,
            "retry_delay": 0,
            "log_format": {"who": "$remote_addr", "in": {"status": "$status"}},
        }
        site.put("services/logged", {"name": "Logged"})
        path = site.route({"http-logger": conf}, service_id="logged")
        site.ask(path)
        until(lambda: len(server.requests) == 2)
        told = {"who": "127.0.0.1", "in": {"status": "200"}, "route_id": path[1:], "service_id": "logged"}
        assert server.requests[1].json() == told


def test_a_server_that_is_away_hinders_no_request(site: Site) -> None:
    path = site.route({"http-logger": {"uri": "http://127.0.0.1:1/", "batch_max_size": 1}})
    assert site.ask(path)[0] == 200
    until(lambda: "plugin_log_lost" in site.gate.log())
