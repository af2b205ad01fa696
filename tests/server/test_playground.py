"""The playground in a real browser: a key, a model, words that arrive, figures; by keyboard, in the dark, on a phone."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.browser import CHROMIUM, Page, browser
from kit.gate import GateProcess, running_gate

CONFIG = """
[apis.haiku]
model = "demo"
description = "A haiku about a topic."
prompt = "A haiku about {{ topic }}."
input = { topic = "string" }
"""
LAST = "document.querySelector('.said:last-child')"
ENDED = f"{LAST} && !{LAST}.classList.contains('going') && {LAST}.querySelector('.figures') !== null"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG, {}, "--demo") as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def shot(page: Page, tmp_path: Path, name: str) -> None:
    """For whoever wants to look; kept where SCREENSHOTS says."""
    page.screenshot(Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"{name}.png")


def asked_for_a_key(page: Page, gate: GateProcess) -> None:
    """The playground, to somebody who was not there before."""
    page.open("about:blank")
    # Before the page's own script: that goes in with a key from before, and keeps it once more when it is there.
    script = page.command("Page.addScriptToEvaluateOnNewDocument", source="sessionStorage.clear()")
    page.open(f"{gate.url}/playground")
    page.command("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    page.until("document.activeElement.id === 'key'")


def begun(page: Page, gate: GateProcess) -> None:
    """The playground, with the key given by keyboard."""
    asked_for_a_key(page, gate)
    page.type(gate.about["demo_key"])
    page.press("Enter")
    page.until("document.activeElement.id === 'words'")


@needs_browser
def test_a_model_answers_word_by_word_with_figures(page: Page, gate: GateProcess, tmp_path: Path) -> None:
    page.said.clear()
    page.look(1100, 800)
    page.open(f"{gate.url}/playground")
    shot(page, tmp_path, "door")
    begun(page, gate)
    page.type("こんにちは <b>playground</b>")
    page.press("Enter")
    growing = page.until(f"{LAST} && {LAST}.querySelector('.words').innerText")
    page.until(ENDED)

    said = page.text(".said:last-child .words")
    assert said.startswith("You said: こんにちは <b>playground</b>. This is Tollkeeper's demo model")
    assert len(growing) < len(said)
    figures = page.text(".said:last-child .figures")
    assert re.search(r"first word:?\s*\d+ ms", figures)
    assert re.search(r"tokens:?\s*\d+ in, \d+ out", figures)
    assert re.search(r"cost:?\s*\$0\.0000\d+", figures)
    assert page.said == []
    shot(page, tmp_path, "desktop")
    [event] = [each for each in gate.events_once(1) if each["outcome"] == "ok"][:1]
    assert event["streamed"]


@needs_browser
def test_a_published_api_takes_its_fields_or_a_text(page: Page, gate: GateProcess) -> None:
    begun(page, gate)
    page.press("k", modifiers=2)
    assert page.value("document.activeElement.id") == "target"
    page.value("at('target').value = 'api:haiku'; at('target').dispatchEvent(new Event('change'))")
    assert page.text("#about") == "A haiku about a topic."
    assert "topic" in json.loads(page.value("at('words').value"))
    page.value("at('words').value = ''")
    page.type("rain")
    page.press("Enter")
    page.until(ENDED)

    assert "A haiku about rain." in page.text(".said:last-child .words")


@needs_browser
def test_escape_stops_an_answer_and_the_next_one_comes(page: Page, gate: GateProcess) -> None:
    begun(page, gate)
    page.type("a long one")
    page.press("Enter")
    page.until(f"{LAST} && {LAST}.querySelector('.words').innerText")
    page.press("Escape")
    page.until(ENDED)
    assert "cancelled" in page.text(".said:last-child .figures")
    page.type("another")
    page.press("Enter")
    page.until(f"document.querySelectorAll('.said').length === 4 && {ENDED}")

    assert "You said: another." in page.text(".said:last-child .words")


@needs_browser
@pytest.mark.parametrize(("width", "height", "dark"), [(360, 740, False), (360, 740, True), (1100, 800, True)])
def test_it_fits_a_phone_and_the_dark(
    page: Page, gate: GateProcess, tmp_path: Path, width: int, height: int, dark: bool
) -> None:
    page.look(width, height, dark=dark)
    begun(page, gate)
    page.type("hello")
    page.press("Enter")
    page.until(ENDED)

    assert page.value("document.documentElement.scrollWidth") <= width
    box = page.value("JSON.stringify(at('send').getBoundingClientRect())")
    assert json.loads(box)["bottom"] <= height
    ground = [int(part) for part in re.findall(r"\d+", page.value("getComputedStyle(document.body).backgroundColor"))]
    assert (sum(ground) < 200) == dark
    shot(page, tmp_path, f"{width}-{'dark' if dark else 'light'}")


@needs_browser
def test_a_wrong_key_is_told_so(page: Page, gate: GateProcess) -> None:
    page.look(1100, 800)
    asked_for_a_key(page, gate)
    page.type("tk-wrong")
    page.press("Enter")
    page.until("!at('trouble').hidden")

    assert "Incorrect API key" in page.text("#trouble")
    page.until("at('room').hidden")


def test_the_page_is_self_contained_and_strict(gate: GateProcess) -> None:
    for path, kind in (("", "text/html"), ("/playground.css", "text/css"), ("/playground.js", "text/javascript")):
        status, headers, body = gate.call("GET", f"/playground{path}", "")

        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert f"ws://127.0.0.1:{gate.port}" in policy
        assert "unsafe" not in policy
        assert re.findall(r"https?://[^\s\"']+", body.decode()) == []


def test_what_the_page_knows_is_what_the_key_may_use(gate: GateProcess) -> None:
    key = gate.new_key(models=["other"])
    status, _, body = gate.call("GET", "/playground/about.json", gate.about["demo_key"])
    about = json.loads(body)

    assert (status, about["socket"], about["models"]) == (200, "/ws", ["demo"])
    assert [(api["name"], api["chats"]) for api in about["apis"]] == [("haiku", False)]
    assert json.loads(gate.call("GET", "/playground/about.json", key)[2])["models"] == []
    assert gate.call("GET", "/playground/about.json", "tk-wrong")[0] == 401


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with running_gate(tmp_path, "[playground]\nenabled = false\n", {}, "--demo") as gate:
        assert gate.call("GET", "/playground", gate.about["demo_key"])[0] == 404
