"""How targets fare is shown to operators, and to nobody else."""

import json
from pathlib import Path

from kit.gate import request
from kit.several import WELL, Several, failing, several
from kit.waiting import until


def test_health_is_shown_to_operators(tmp_path: Path) -> None:
    more = "[health]\nfailures = 3\n"
    with several(tmp_path, [failing(500), failing(429, "retry-after: 60"), failing(401), WELL], more) as running:
        for _ in range(4):
            running.ask()

        status, _, body = running.gate.operator("GET", "/api/health")

        shown = {entry["target"]: entry for entry in json.loads(body)["data"]}
        assert status == 200
        assert {name: entry["state"] for name, entry in shown.items()} == {
            "a/m": "ejected",
            "b/m": "cooled",
            "c/m": "key_ejected",
            "d/m": "well",
        }
        assert (shown["a/m"]["failures"], shown["a/m"]["ejections"], shown["a/m"]["in_flight"]) == (3, 1, 0)
        assert 50 < shown["b/m"]["seconds_left"] <= 60
        assert 500 < shown["c/m"]["seconds_left"] <= 600
        assert (shown["d/m"]["seconds_left"], shown["d/m"]["share"]) == (0, 1)
        assert shown["d/m"]["latency_ms"] > 0
        assert shown["d/m"]["stream_latency_ms"] is None
        assert request("GET", running.gate.operator_url + "/api/health", {})[0] == 401
        assert "sk-" not in body.decode()


def test_an_account_that_has_another_key_is_not_shown_as_refused_any_more(tmp_path: Path) -> None:
    with several(tmp_path, [failing(401), WELL]) as running:
        running.ask()
        assert "a/m" in _shown(running)
        config = running.gate.config.read_text("utf-8")
        running.gate.config.write_text(config.replace('api_key = "sk-a"', 'api_key = "sk-new"'), "utf-8")

        until(lambda: "config_loaded" in running.gate.log())

        assert list(_shown(running)) == ["b/m"]


def _shown(running: Several) -> dict[str, dict[str, object]]:
    data = json.loads(running.gate.operator("GET", "/api/health")[2])["data"]
    return {entry["target"]: entry for entry in data}
