"""docs/dialects.md keeps its word: its command is run, and its tables name the dialects and paths that there are."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tollkeeper
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.dialects.translators import TRANSLATORS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "dialects.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_command_is_answered_in_its_own_dialect(gate: GateProcess, upstream: ScriptedUpstream, key: str) -> None:
    upstream.script = json_answer(200, chat_answer("Hello!"))
    (command,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)

    done = subprocess.run(
        ["bash", "-ec", command.replace("http://127.0.0.1:9080", gate.url).replace("tk-...", key)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["content"] == [{"type": "text", "text": "Hello!"}]


def test_every_dialect_stands_in_the_tables() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| `/", PAGE, re.MULTILINE))

    assert rows == set(TRANSLATORS) | set(EMBEDDERS)


def test_a_dialect_is_added_by_adding_its_folder_or_file(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    package = Path(tollkeeper.__file__).parent
    shutil.copytree(package, tmp_path / "tollkeeper", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "tollkeeper" / "dialects"
    shutil.copytree(folder / "ollama_chat", folder / "acme_chat")
    for file in (folder / "acme_chat").glob("*.py"):
        text = file.read_text("utf-8").replace("ollama_chat", "acme_chat").replace("api/chat", "acme/talk")
        file.write_text(text, "utf-8")
    embedding = (folder / "ollama_embed.py").read_text("utf-8")
    embedding = embedding.replace("ollama_embed", "acme_embed").replace("api/embed", "acme/embed")
    (folder / "acme_embed.py").write_text(embedding, "utf-8")
    config = f"""
[providers.acme]
kind = "openai"
base_url = "{upstream.url}"
api_key = "k"
speaks = ["acme_chat", "acme_embed"]
[providers.up]
kind = "openai"
base_url = "{upstream.url}"
api_key = "k"
"""
    said = {"model": "m", "message": {"role": "assistant", "content": "Hi!"}, "done": True, "done_reason": "stop"}
    ask = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}
    with running_gate(tmp_path / "run", config, {"PYTHONPATH": str(tmp_path)}) as gate:
        key = gate.new_key()

        upstream.script = json_answer(200, said)
        _, _, answered = gate.call("POST", "/v1/chat/completions", key, {"model": "acme/m", **ask})
        assert upstream.requests[-1].path == "/v1/acme/talk"
        assert json.loads(answered)["choices"][0]["message"]["content"] == "Hi!"

        upstream.script = json_answer(200, chat_answer("Hello!"))
        _, _, answered = gate.call("POST", "/acme/talk", key, {"model": "up/m", **ask})
        assert upstream.requests[-1].path == "/v1/chat/completions"
        assert json.loads(answered)["message"]["content"] == "Hello!"

        upstream.script = json_answer(200, {"model": "m", "embeddings": [[0.5]]})
        for path in ("/v1/embeddings", "/acme/embed"):
            _, _, answered = gate.call("POST", path, key, {"model": "acme/m", "input": "x"})
            assert (upstream.requests[-1].path, b"0.5" in answered) == ("/v1/acme/embed", True)
