"""What the gate says of itself at /, /docs and /openapi.json, and that it says it without the internet."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.browser import CHROMIUM, browser
from kit.gate import GateProcess, request, running_gate

CODE = '''
"""Published in these tests."""

from collections.abc import AsyncIterator

import msgspec


class Order(msgspec.Struct):
    parts: list["Part"]
    note: str = ""


class Part(msgspec.Struct):
    number: int


async def ordered(order: Order) -> Part:
    """Takes an order.

    And says <b>which</b> part comes first.
    """
    return order.parts[0]


async def counted(n: int) -> AsyncIterator[int]:
    yield n
'''
CONFIG = """
[log]
format = "json"

[apis.hogehoge]
model = "demo"

[apis.guide]
path = "/v2/guide"
description = "Guides."
prompt = "{{ topic }}"
model = "demo"
input = { topic = { type = "string", description = "Of what." }, "tone?" = { enum = ["dry", "warm"] } }
example = { topic = "Rome's cats" }

[apis.person]
prompt = "{{ x }}"
[apis.person.output]
"$ref" = "#/$defs/person"
[apis.person.output."$defs".person]
type = "object"
properties = { name = { type = "string" }, friends = { type = "array", items = { "$ref" = "#/$defs/person" } } }

[apis.ordered]
function = "shop:ordered"

[apis.counted]
function = "shop:counted"
"""
VALIDATOR = Path(__file__).parent.parent.parent / ".clients" / "linters" / "bin" / "python"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate with APIs of every kind."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "shop.py").write_text(CODE, "utf-8")
    with running_gate(folder, CONFIG, None, "--demo") as running:
        yield running


@pytest.fixture(scope="module")
def document(gate: GateProcess) -> Any:
    return json.loads(request("GET", gate.url + "/openapi.json", {})[2])


def test_every_published_api_is_described_with_examples(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert {"/hogehoge", "/v2/guide", "/person", "/ordered", "/counted", "/v1/chat/completions"} <= set(
        document["paths"]
    )
    guide = document["paths"]["/v2/guide"]["post"]
    asked = guide["requestBody"]["content"]["application/json"]
    assert (guide["summary"], asked["example"]) == ("Guides.", {"topic": "Rome's cats"})
    assert asked["schema"]["required"] == ["topic"]
    ordered = document["paths"]["/ordered"]["post"]
    assert ordered["responses"]["200"]["content"]["application/json"]["example"] == {"number": 1}


def test_every_reference_in_it_leads_somewhere(document: Any) -> None:
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert {"Error", "ordered.Part", "person.answer.person"} <= references
    assert references <= set(document["components"]["schemas"])
    assert json.dumps(document).count('"$ref"') == json.dumps(document).count("#/components/schemas/")


@pytest.mark.skipif(not VALIDATOR.exists(), reason="no openapi-spec-validator: scripts/setup-clients installs it")
def test_a_validator_finds_nothing_wrong_with_it(document: Any, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))

    done = subprocess.run(
        [VALIDATOR, "-m", "openapi_spec_validator", tmp_path / "openapi.json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_on_the_page_are_answered(gate: GateProcess) -> None:
    page = request("GET", gate.url + "/docs", {})[2].decode()
    shown = re.findall(r"<pre tabindex=\"0\">(curl .*?)</pre>", page, re.DOTALL)
    plain = [command.replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&") for command in shown]
    assert len(plain) == 5

    for command in plain:
        if "/person" in command:
            continue  # names no model
        told = command.replace("tk-…", gate.about["demo_key"])
        done = subprocess.run(["bash", "-c", f"{told} --silent --fail"], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, f"{told}\n{done.stdout!r}"


def test_a_browser_gets_a_page_and_a_program_json(gate: GateProcess) -> None:
    html = request("GET", gate.url + "/", {"accept": "text/html,*/*;q=0.8"})
    plain = request("GET", gate.url + "/", {"accept": "*/*"})

    assert (html[0], html[1]["content-type"]) == (200, "text/html; charset=utf-8")
    offers = json.loads(plain[2])
    assert [api["path"] for api in offers["apis"]] == ["/hogehoge", "/v2/guide", "/person", "/ordered", "/counted"]
    assert (offers["docs"], offers["openapi"], offers["models"]) == ("/docs", "/openapi.json", "/v1/models")


def test_the_page_needs_nothing_from_elsewhere_and_what_an_author_wrote_is_text(gate: GateProcess) -> None:
    status, headers, body = request("GET", gate.url + "/docs", {})
    page = body.decode()

    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert re.findall(r'(?:src|href)="(?!/|#)', page) == []
    assert "&lt;b&gt;which&lt;/b&gt;" in page
    assert "tk-…" in page
    assert gate.about["demo_key"] not in page


def test_only_looking_is_allowed(gate: GateProcess) -> None:
    for path in ("/", "/docs", "/openapi.json"):
        status, headers, _ = request("POST", gate.url + path, {}, {})
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_what_is_not_to_be_told_is_not(tmp_path: Path) -> None:
    config = CONFIG.partition("[apis.ordered]")[0]
    with running_gate(tmp_path, config) as gate:
        assert request("GET", gate.url + "/openapi.json", {})[0] == 200
        gate.config.write_text("[server]\ndescribe = false\n" + config, "utf-8")
        until = time.monotonic() + 20
        while request("GET", gate.url + "/", {})[0] == 200 and time.monotonic() < until:
            time.sleep(0.05)

        assert [request("GET", gate.url + path, {})[0] for path in ("/", "/docs", "/openapi.json")] == [404, 401, 401]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_browser_shows_the_page_without_a_complaint(gate: GateProcess, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(gate.url + "/docs")

        assert page.value("document.querySelectorAll('section').length") == 5
        assert page.value("getComputedStyle(document.querySelector('section')).borderTopStyle") == "solid"
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        assert page.said == []
