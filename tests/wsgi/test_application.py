"""The WSGI callable on a server of threads: it starts at the first call, says what keeps it from it, and ends cleanly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.gate import request
from kit.scripted import ScriptedUpstream
from tollkeeper.stores.sqlite.reports import Reports
from tollkeeper.stores.sqlite.sole import sole
from tollkeeper.wsgi import Application

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
Serve = Callable[[Application], int]


def test_a_call_is_answered_with_the_keys_of_the_environment_file_and_recorded(
    application: Application, serve: Serve, upstream: ScriptedUpstream, key: str, home: Path
) -> None:
    port = serve(application)

    status, headers, body = request(
        "POST", f"http://127.0.0.1:{port}/v1/chat/completions", {"authorization": f"Bearer {key}"}, ASK
    )
    application.stop()

    assert (status, json.loads(body)["usage"]["completion_tokens"]) == (200, 2)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-provider"
    reports = Reports(home)
    (event,) = reports.events(limit=10)
    reports.close()
    assert (event.request_id, event.usage.output_tokens) == (headers["x-request-id"], 2)


def test_a_config_that_is_wrong_is_answered_with_503_and_told_to_the_log_alone(
    application: Application, serve: Serve, variables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(variables["TOLLKEEPER_CONFIG"]).write_text("[server]\nport = 'x'\n", "utf-8")

    assert not application.start()
    status, headers, body = request("GET", f"http://127.0.0.1:{serve(application)}/healthz", {})

    assert (status, json.loads(body)["error"]["code"], headers["retry-after"]) == (503, "gate_unavailable", "5")
    assert "server.port" in capsys.readouterr().err
    assert b"server.port" not in body


def test_a_second_process_on_the_same_home_takes_no_calls_until_the_first_has_ended(
    application: Application, serve: Serve, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{serve(application)}/readyz"
    with sole(home):
        assert request("GET", url, {})[0] == 503
        assert "Another gate or bulk job (process" in capsys.readouterr().err

    assert request("GET", url, {})[0] == 200


def test_what_comes_after_the_end_is_refused(application: Application, serve: Serve) -> None:
    port = serve(application)
    assert application.start()
    application.stop()

    status, _, body = request("GET", f"http://127.0.0.1:{port}/readyz", {})

    assert (status, json.loads(body)["error"]["code"]) == (503, "shutting_down")
