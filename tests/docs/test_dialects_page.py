"""docs/dialects.md keeps its word: its command is run, and its tables name the dialects and paths that there are."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kit.gate import GateProcess
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.dialects.translators import TRANSLATORS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "dialects.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_command_is_answered_in_its_own_dialect(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!"))
    (command,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)

    done = subprocess.run(
        ["bash", "-ec", command],
        env={"PATH": os.environ["PATH"], "GATE": gate.url, "KEY": key},
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["content"] == [{"type": "text", "text": "Hello!"}]


def test_every_dialect_stands_in_the_tables() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| `/", PAGE, re.MULTILINE))

    assert rows == set(TRANSLATORS) | set(EMBEDDERS)
