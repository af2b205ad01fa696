"""What docs/websocket.md tells a page to do is done in a browser, on a page of another host that the config names."""

import json
import re
from pathlib import Path

import pytest

from kit.browser import CHROMIUM, browser
from kit.gate import running_gate
from kit.scripted import ScriptedUpstream, json_answer

PAGE = Path(__file__).parent.parent.parent / "docs" / "websocket.md"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_page_shows_the_pieces_as_they_come(tmp_path: Path) -> None:
    [script] = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    with ScriptedUpstream(json_answer(200, {})) as site:
        config = f'[websocket]\norigins = ["{site.url.removesuffix("/v1")}"]\n'
        with running_gate(tmp_path / "gate", config, {}, "--demo") as gate, browser(tmp_path) as page:
            key = gate.about["demo_key"]
            ticket = json.loads(gate.call("POST", "/ws/tickets", key)[2])["ticket"]
            page.open(site.url)
            address = gate.url.replace("http", "ws")
            said = page.value(
                f"{script}; (async () => {{ const shown = [];"
                f" const reason = await answer({address!r}, {ticket!r}, 'hello', (piece) => shown.push(piece));"
                " return JSON.stringify([reason, shown]); })()"
            )

    reason, shown = json.loads(said)
    assert reason == "end"
    assert shown[:3] == ["You", " said:", " hello."]
