"""The log: one line a call, in JSON or for reading, with no prompt, no answer and no key in it, whatever happens to it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from kit.gate import request, running_gate
from kit.records import NOW, event
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer
from tollkeeper.core.usage import Usage
from tollkeeper.telemetry.log import Log

PROMPT, ANSWER = "a prompt that nobody else shall read", "an answer that nobody else shall read"
PROVIDER_KEY = "sk-provider-canary-77"
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "{secret}"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
[log]
format = "{format}"
blocked = 0
"""


def _script(request: Request, connection: Connection) -> bool:
    asked = request.json()
    if asked["messages"][0]["content"].startswith("fail"):
        body = {"error": {"message": f"no: {asked} {PROVIDER_KEY}", "code": "odd\ncode", "type": "x"}}
        return bool(json_answer(400, body)(request, connection))
    if asked.get("stream"):
        return bool(event_stream(b"".join(chat_events([ANSWER], None)))(request, connection))
    return bool(json_answer(200, chat_answer(ANSWER))(request, connection))


@pytest.fixture(params=["json", "console"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """What a gate has logged of four calls and a refused one: format, log, and every key that was used."""
    with ScriptedUpstream(_script) as upstream:
        config = CONFIG.format(url=upstream.url, secret=PROVIDER_KEY, format=request.param)
        with running_gate(tmp_path, config) as gate:
            key = gate.new_key(name="logged")
            for content, more in [
                (PROMPT, {}),
                (PROMPT, {"stream": True}),
                ("fail " + PROMPT, {}),
                (PROMPT, {"user": key}),
            ]:
                body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
                gate.call("POST", "/v1/chat/completions", key, body)
            gate.call("POST", "/v1/chat/completions", "tk-wrong-" + "x" * 30, {"model": "m", "messages": []})
            gate.events_once(4)
            assert gate.stop() == 0
            yield request.param, gate.log(), [key, gate.operator_key, PROVIDER_KEY, "tk-wrong-"]


def test_one_line_a_call_and_nothing_of_what_was_said_or_shown(told: tuple[str, str, list[str]]) -> None:
    format, log, secrets = told

    for secret in (*secrets, PROMPT, ANSWER):
        assert secret not in log
    lines = log.splitlines()
    if format == "json":
        calls = [line for line in map(json.loads, lines) if line["event"] == "call"]
        assert [line["event"] for line in map(json.loads, lines)] == ["key_created", *["call"] * 4]
        assert sorted((call["outcome"], call["status"], call["streamed"]) for call in calls) == [
            ("error", 400, False),
            ("ok", 200, False),
            ("ok", 200, False),
            ("ok", 200, True),
        ]
        assert {call["model_asked"] for call in calls} == {"m"}
        assert all(call["key"].startswith("key_") and len(call["request_id"]) == 32 for call in calls)
        assert all(datetime.fromisoformat(call["time"]).utcoffset() is not None for call in calls)
    else:
        assert len(lines) == 5
        assert " key_created key=key_" in lines[0]
        assert all(" chat m -> up/m " in line for line in lines[1:])
        assert sum(" ok 200 in=9 out=3 0.000015 USD " in line for line in lines) == 2
        assert sum(" error upstream_400 400 in=0 out=0 0 USD " in line for line in lines) == 1


def _log(format: str, stream: io.StringIO) -> Log:
    return Log(format, lambda: NOW / 1000, stream=stream)  # type: ignore[arg-type]


def test_a_line_of_json_says_all_about_an_attempt() -> None:
    stream = io.StringIO()

    _log("json", stream)(
        event(
            model_asked='na"me\u2028',
            streamed=True,
            usage=Usage(input_tokens=5, output_tokens=7),
            cost_nano=1,
            first_byte_ms=1.23456,
            duration_ms=9.87654,
            overhead_ms=0.456,
        )
    )

    line = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (line.pop("event"), len(line.pop("request_id"))) == ("call", 32)
    assert line == {
        "time": "2026-01-01T00:00:00.000+00:00",
        "attempt": 1,
        "key": "key_1",
        "operation": "chat",
        "model_asked": 'na"me\u2028',
        "provider": "up",
        "model": "gpt-4o-mini",
        "streamed": True,
        "outcome": "ok",
        "status": 200,
        "error": None,
        "quality": "reported",
        "input_tokens": 5,
        "output_tokens": 7,
        "cost_usd": "0.000000001",
        "first_byte_ms": 1.23,
        "duration_ms": 9.88,
        "overhead_ms": 0.46,
    }


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_is_unknown_is_not_zero(format: str) -> None:
    stream = io.StringIO()

    _log(format, stream)(event(cost_nano=None, quality="unpriced", first_byte_ms=None, model=None, model_asked=None))

    line = stream.getvalue()
    assert '"cost_usd":null' in line if format == "json" else " unpriced " in line
    assert '"model":null' in line if format == "json" else " - -> up/- " in line


@pytest.mark.parametrize("format", ["json", "console"])
def test_nothing_that_a_provider_or_a_caller_names_begins_a_line_of_its_own(format: str) -> None:
    stream = io.StringIO()
    log = _log(format, stream)

    log(event(error_code="bad\n00:00:00 key_admin chat forged", model="m\r\x1b[2Jm", model_asked="\x85\u2029x"))
    log.say("config_refused", problem='f.toml:1: "a\nb": there is no such field', nothing=None)

    written = stream.getvalue()
    assert len(written.splitlines() if format == "console" else written.strip("\n").split("\n")) == 2
    assert "\x1b" not in written
    assert "\r" not in written
    if format == "console":
        assert "bad\ufffd00:00:00" in written
        assert written.splitlines()[1].startswith("00:00:00 config_refused problem=f.toml:1:")


def test_off_is_silent() -> None:
    stream = io.StringIO()
    log = _log("off", stream)

    log(event())
    log.say("started")
    log.flush()

    assert stream.getvalue() == ""


def test_lines_are_kept_until_they_are_due_and_written_together_in_order() -> None:
    due: list[Callable[[], None]] = []
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    log = Log("json", lambda: NOW / 1000, due.append, Stream())
    for number in range(3):
        log.say("said", number=number)
    assert (len(due), written) == (1, [])

    due[0]()

    assert [[json.loads(line)["number"] for line in text.splitlines()] for text in written] == [[0, 1, 2]]
    log.say("again")
    assert len(due) == 2


@pytest.mark.parametrize("gone", ["closed", "its reader left"])
def test_a_stream_that_is_gone_takes_nothing_down(gone: str) -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="ascii")
    os.close(reader)
    if gone == "closed":
        with contextlib.suppress(OSError):
            stream.close()
    log = Log("console", lambda: NOW / 1000, stream=stream)

    for _ in range(3):
        log(event(model_asked="é"))

    with contextlib.suppress(OSError):
        stream.close()


def test_a_gate_whose_log_has_no_reader_any_more_serves_on_and_ends_with_0(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tollkeeper", "serve", "--demo", "--port", "0", "--operator-port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    about = json.loads(process.stdout.readline())
    process.stderr.close()
    headers = {"authorization": f"Bearer {about['demo_key']}"}
    for _ in range(3):
        body = {"model": "demo", "messages": []}
        assert request("POST", about["gate"] + "/v1/chat/completions", headers, body)[0] == 200
    process.terminate()
    code = process.wait(60)
    process.stdout.close()

    assert code == 0
