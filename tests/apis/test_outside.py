"""Outside APIs through the real door: what is sent, what comes back, what goes wrong, and what a call costs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.scripted import Connection, Request, Script, ScriptedUpstream, json_answer

CODE = '''
"""Functions that ask other APIs."""

from dataclasses import dataclass

from tollkeeper.apis import Outside, OutsideError


@dataclass
class Weather:
    city: str
    degrees: float


async def weather(city: str, outside: Outside) -> Weather:
    query = {"unit": "C", "tags": ["a", "b"], "no": None}
    return (await outside["weather"].get(f"/today/{city}", query=query)).json(Weather)


async def paid(outside: Outside) -> int:
    return (await outside["paid"].get("/x")).status


async def posted(outside: Outside) -> str:
    sent = await outside["weather"].post("/notes", json={"note": "x"}, headers={"X-Own": "1"})
    return sent.text


async def named(name: str, outside: Outside) -> int:
    return (await outside[name].get("/x")).status


async def raw(path: str, outside: Outside) -> str:
    return (await outside["weather"].get(path)).text


async def coped(outside: Outside) -> str:
    try:
        await outside["weather"].get("/x")
    except OutsideError as error:
        said = error.answer.text if error.answer else ""
        return f"{error.code} {said}"
    return "well"
'''
TABLES = """
[outside.weather]
base_url = "{url}"
api_key = "env:WEATHER_KEY"
headers = {{ "X-Version" = "2" }}
query = {{ appid = "env:WEATHER_KEY" }}
timeouts = {{ connect = 1, first_byte = 1, idle = 1, total = 5 }}
max_bytes = 100_000

[outside.paid]
base_url = "{url}/paid"
price = 0.25
retries = 1

[routing]
allow_nodes = ["127.0.0.0/8"]

[outside.inward]
base_url = "http://10.0.0.1"

[outside.closed]
base_url = "http://127.0.0.1:1"
retries = 0
"""
NAMES = ("weather", "paid", "posted", "named", "raw", "coped")


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate whose functions call the scripted upstream."""
    folder: Path = tmp_path_factory.mktemp("gate")
    (folder / "asking.py").write_text(CODE, "utf-8")
    tables = "".join(f'[apis.{name}]\nfunction = "asking:{name}"\n' for name in NAMES)
    config = CONFIG.format(url=upstream.url) + TABLES.format(url=upstream.url.removesuffix("/v1")) + tables
    with running_gate(folder, config, {"WEATHER_KEY": "outside-canary"}) as running:
        yield running


def told(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, Any]:
    status, _, body = answer
    found = json.loads(body)
    return status, found["error"]["code"] if status >= 400 else found


def raw_answer(data: bytes) -> Script:
    def script(request: Request, connection: Connection) -> bool:
        connection.send(data)
        return False

    return script


def test_credentials_query_and_path_are_sent_and_the_answer_read_by_its_type(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(200, {"city": "Rom", "degrees": 21})

    assert told(gate.call("POST", "/weather", key, {"city": "Rom / Süd"})) == (200, {"city": "Rom", "degrees": 21.0})
    sent = upstream.requests[-1]
    assert (sent.method, sent.path) == (
        "GET",
        "/today/Rom%20/%20S%C3%BCd?appid=outside-canary&unit=C&tags=a&tags=b",
    )
    assert (sent.headers["authorization"], sent.headers["x-version"]) == ("Bearer outside-canary", "2")


def test_a_body_is_json(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(201, b"made")

    assert told(gate.call("POST", "/posted", key, {})) == (200, "made")
    sent = upstream.requests[-1]
    assert (sent.method, sent.json(), sent.headers["x-own"]) == ("POST", {"note": "x"}, "1")


@pytest.mark.parametrize(
    ("script", "status", "code", "tries"),
    [
        (json_answer(500, {"error": "x"}), 502, "outside_error", 1),
        (json_answer(503, b"busy"), 502, "outside_error", 3),
        (json_answer(404, b"none"), 502, "outside_error", 1),
        (json_answer(200, b"<html>hello</html>", "content-type: text/html"), 502, "outside_bad_answer", 1),
        (json_answer(200, b""), 502, "outside_bad_answer", 1),
        (json_answer(200, {"city": 1}), 502, "outside_bad_answer", 1),
        (json_answer(200, b"[" + b"1," * 100_000 + b"1]"), 502, "outside_bad_answer", 1),
        (json_answer(302, b"", "location: http://169.254.169.254/latest/meta-data"), 502, "outside_redirect", 1),
        (raw_answer(b""), 502, "upstream_closed", 3),
        (raw_answer(b"nonsense\r\n\r\n"), 502, "upstream_invalid_http", 3),
        (raw_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), 502, "upstream_cut", 3),
    ],
)
def test_what_an_outside_api_does_wrong_is_a_clear_error_and_never_more(
    script: Script, status: int, code: str, tries: int, gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = script
    before = len(upstream.requests)

    answer = gate.call("POST", "/weather", key, {"city": "Rom"})

    assert told(answer) == (status, code)
    assert b"weather" in answer[2]
    assert b"outside-canary" not in answer[2]
    assert len(upstream.requests) - before == tries


def test_an_outside_api_that_is_silent_is_not_waited_for(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    def silent(request: Request, connection: Connection) -> None:
        connection.wait_for_peer_to_close(10)

    upstream.script = silent

    assert told(gate.call("POST", "/coped", key, {})) == (200, "upstream_timeout ")


def test_an_author_can_catch_an_error_and_read_what_was_said(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(418, b"teapot")

    assert told(gate.call("POST", "/coped", key, {})) == (200, "outside_error teapot")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/named", {"name": "nowhere"}, 500, "outside_not_found"),
        ("/named", {"name": "closed"}, 502, "upstream_refused"),
        ("/named", {"name": "inward"}, 502, "upstream_address_forbidden"),
        ("/raw", {"path": "/../secret"}, 500, "api_failed"),
        ("/raw", {"path": "/%2e%2e/secret"}, 500, "api_failed"),
        ("/raw", {"path": "/x?y=1"}, 500, "api_failed"),
    ],
)
def test_a_call_that_cannot_be_made_is_not_made(
    path: str, body: Any, status: int, code: str, gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    before = len(upstream.requests)

    assert told(gate.call("POST", path, key, body)) == (status, code)
    assert len(upstream.requests) == before


def test_a_line_break_in_a_path_is_only_a_letter(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, b"x")

    gate.call("POST", "/raw", key, {"path": "/a\r\nx-own: 1"})

    assert upstream.requests[-1].path.startswith("/a%0D%0Ax-own:%201")


def test_a_call_with_a_price_is_an_event_and_counts_in_budgets(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, {})
    rich = gate.new_key(name="rich", budgets=["0.5 USD"])

    first = gate.call("POST", "/paid", rich, {})
    second = gate.call("POST", "/paid", rich, {})
    third = gate.call("POST", "/paid", rich, {})

    assert [told(first), told(second), told(third)] == [(200, 200), (200, 200), (429, "budget_exceeded")]
    event = gate.event(first[1]["x-request-id"] + ".1")
    assert (event["provider"], event["cost_usd"], event["outcome"], event["quality"]) == (
        "outside:paid",
        "0.25",
        "ok",
        "reported",
    )


def test_a_failed_call_costs_nothing_and_every_try_is_an_event(
    gate: GateProcess, upstream: ScriptedUpstream, key: str
) -> None:
    upstream.script = json_answer(503, {})

    _, headers, _ = gate.call("POST", "/paid", key, {})

    until = time.monotonic() + 20
    while len(events := gate.events(request_id=headers["x-request-id"])) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert [(event["attempt"], event["cost_usd"], event["outcome"]) for event in events] == [
        (2, "0", "upstream_error"),
        (1, "0", "upstream_error"),
    ]
