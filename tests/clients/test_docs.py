"""docs/clients.md keeps its word: every example in it is run, by the client that its section is about."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.caller import Caller, new_caller, tokens
from clients.environments import HAS_NODE, HERE, NO_NODE, NODE_MODULES, OPENAI028, needs_openai028, run
from kit.gate import GateProcess, running_gate
from kit.scripted import (
    Connection,
    Request,
    ScriptedUpstream,
    chat_answer,
    chat_events,
    event_stream,
    json_answer,
    usage_of,
)

PAGE = HERE.parent.parent / "docs" / "clients.md"
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"

[models."gpt-4o-mini"]
targets = ["up/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6 }}
"""


def examples() -> list[object]:
    """Each fenced block under a second-level heading, as a parameter for pytest."""
    found: list[object] = []
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title = section.partition("\n")[0]
        for number, (language, code) in enumerate(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL), 1):
            marks = [needs_openai028] if "before 1.0" in title else []
            if language == "js":
                marks = [pytest.mark.skipif(not HAS_NODE, reason=NO_NODE)]
            if language == "sh":
                marks = [pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")]
            found.append(pytest.param(title, language, code, id=f"{title} {number}", marks=marks))
    return found


def hello(request: Request, connection: Connection) -> bool | None:
    """A provider that says hello in nine tokens and two."""
    if request.json().get("stream"):
        return event_stream(b"".join(chat_events(["Hel", "lo!"], usage_of(9, 2))))(request, connection)
    return json_answer(200, chat_answer("Hello!", 9, 2))(request, connection)


@pytest.fixture(scope="module")
def greeting_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate in front of it."""
    with (
        ScriptedUpstream(hello) as upstream,
        running_gate(tmp_path_factory.mktemp("docs"), CONFIG.format(url=upstream.url)) as running,
    ):
        yield running


@pytest.mark.parametrize(("title", "language", "code"), examples())
def test_an_example_of_the_page_works(
    greeting_gate: GateProcess, tmp_path: Path, title: str, language: str, code: str
) -> None:
    caller = new_caller(greeting_gate)
    code = code.replace("http://127.0.0.1:9080", caller.gate.url).replace("tk-...", caller.key)
    environment = {"OPENAI_BASE_URL": caller.base_url, "OPENAI_API_KEY": caller.key}

    done = run(command(title, language, code, tmp_path), environment)

    assert done.returncode == 0, done.stderr
    assert said(done.stdout).startswith("Hello!")
    calls = 2 if "before 1.0" in title else 1
    assert [tokens(event) for event in caller.events(calls)] == [(9, 2)] * calls


def command(title: str, language: str, code: str, folder: Path) -> list[str]:
    """What runs the example."""
    if language == "sh":
        return ["bash", "-c", code]
    if language == "python":
        return [str(OPENAI028) if "before 1.0" in title else sys.executable, "-c", code]
    (folder / "node_modules").symlink_to(NODE_MODULES)
    script = folder / "example.mjs"
    script.write_text(code, "utf-8")
    return ["node", str(script)]


def said(output: str) -> str:
    """The words of what was printed: curl prints JSON and events, the others print the words themselves."""
    if output.startswith("{"):
        return str(json.loads(output)["choices"][0]["message"]["content"])
    if output.startswith("data:"):
        events = [json.loads(line[6:]) for line in output.splitlines() if line.startswith("data: {")]
        return "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    return output


def test_azures_variables_are_enough(greeting_gate: GateProcess) -> None:
    caller: Caller = new_caller(greeting_gate)
    environment = {
        "AZURE_OPENAI_ENDPOINT": caller.gate.url,
        "AZURE_OPENAI_API_KEY": caller.key,
        "OPENAI_API_VERSION": "2024-10-21",
    }
    code = """
import openai
ask = [{"role": "user", "content": "Say hello."}]
print(openai.AzureOpenAI().chat.completions.create(model="gpt-4o-mini", messages=ask).choices[0].message.content)
"""

    done = run([sys.executable, "-c", code], environment)

    assert done.stdout == "Hello!\n", done.stderr
    assert tokens(caller.event()) == (9, 2)


def test_every_example_but_the_variables_at_the_top_is_run() -> None:
    blocks = PAGE.read_text("utf-8").count("```") // 2

    assert blocks == len(examples()) + 1
