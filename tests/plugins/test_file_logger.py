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
    assert json.loads(file.read_text()) == {"uri": path, "status": "200"}


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
