"""file-logger at the gate's door."""

import json
from pathlib import Path

from kit.routed import Site
from kit.waiting import until


def test_a_file_gets_a_line_for_each_request_that_matches(site: Site) -> None:
    conf = {
        "path": "logs/requests.log",
        "log_format": {"uri": "$uri", "status": "$status"},
        "match": [[["arg_log", "==", "1"]]],
    }
    path = site.route({"file-logger": conf})
    site.ask(path + "?log=0")
    site.ask(path + "?log=1")
    file: Path = site.gate.home / "logs" / "requests.log"
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    assert json.loads(file.read_text()) == {"uri": path, "status": "200", "route_id": path[1:]}


def test_a_file_lies_below_the_gates_home(site: Site) -> None:
    for path in ("/etc/cron.d/x", "../x", "logs/../../x", "tollkeeper.db"):
        assert "below the gate's home" in site.refused({"file-logger": {"path": path}})


def test_a_path_that_is_no_text_does_not_go_unlogged(site: Site) -> None:
    path = site.route(
        {"file-logger": {"path": "logs/odd.log"}, "fault-injection": {"abort": {"http_status": 418, "body": "$uri"}}}
    )
    assert site.ask(path + "/%ff")[::2] == (418, f"{path}/".encode() + b"\xff")
    file: Path = site.gate.home / "logs" / "odd.log"
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    assert json.loads(file.read_text())["request"]["uri"] == path + "/\\xff"


def test_no_line_has_what_a_caller_shows_to_be_let_in(site: Site) -> None:
    site.consumer({"key-auth": {"key": "s3cr3t-key"}})
    auth = {"key-auth": {"header": "x-mine", "query": "mine"}, "jwt-auth": {"query": "pass", "header": "x-pass"}}
    path = site.route(
        {"file-logger": {"path": "logs/keyed.log"}, "multi-auth": {"auth_plugins": [{n: c} for n, c in auth.items()]}}
    )
    site.ask(path + "?a=1&mine=s3cr3t-key&b=%20")
    site.ask(path + "?mi%6Ee=s3cr3t-key", x_mine="s3cr3t-other")
    site.ask(path + "?pass=s3cr3t-token", x_pass="s3cr3t-other")
    file: Path = site.gate.home / "logs" / "keyed.log"
    lines = until(lambda: file.exists() and len(found := file.read_text().splitlines()) == 3 and found)
    assert not any("s3cr3t" in line for line in lines)
    first, second, _ = (json.loads(line)["request"] for line in lines)
    assert first["uri"] == path + "?a=1&mine=***&b=%20"
    assert (second["querystring"], second["headers"]["x-mine"]) == ("mi%6Ee=***", "***")


def test_bodies_are_written_down_only_where_their_rules_hold(site: Site) -> None:
    conf = {
        "path": "logs/bodies.log",
        "include_req_body": True,
        "include_req_body_expr": [["status", "==", 418]],
        "include_resp_body": True,
        "include_resp_body_expr": [["arg_show", "==", "1"]],
    }
    path = site.route({"file-logger": conf})
    site.ask(path + "?answer-status=418", "POST", b"sent")
    site.ask(path + "?show=1&answer-body=back", "POST", b"sent")
    file: Path = site.gate.home / "logs" / "bodies.log"
    lines = until(lambda: file.exists() and len(found := file.read_text().splitlines()) == 2 and found)
    told = [json.loads(line) for line in lines]
    # Each is written when its request has ended, which may be a moment after the next one's answer.
    assert {(each["request"].get("body"), each["response"].get("body")) for each in told} == {
        ("sent", None),
        (None, "back"),
    }
    bad = {"path": "logs/x", "include_resp_body_expr": [["a"]]}
    assert "failed to validate the 'include_resp_body_expr' expression" in site.refused({"file-logger": bad})
