"""README and docs keep their word: what they tell a reader to type is typed, in order, and what they show is compared.

`sh` blocks must succeed; `console` blocks must print what the page shows (`…` is anything); `toml` blocks must load.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.assisting import Shown, applies, proposes, says
from kit.gate import running_gate
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
from kit.shell import Shell, matches
from tollkeeper import config

ROOT = Path(__file__).parent.parent.parent
RUN_BY_OTHERS = {
    "dialects": "test_dialects_page.py",
    "clients": "tests/clients",
    "conference": "test_conference_page.py",
    "providers": "tests/providers",
    "performance": "whoever has the time",
    "serverless": "tests/serverless, and whoever has an account with AWS",
}
WITHOUT_COMMANDS = {"compatibility", "reliability"}
PAGES = [
    "README",
    *(
        f"docs/{path.stem}"
        for path in sorted((ROOT / "docs").glob("*.md"))
        if path.stem not in RUN_BY_OTHERS and path.stem not in WITHOUT_COMMANDS
    ),
]
RUN_ELSEWHERE = {"scripts/demo\nscripts/test": "tests/scripts, and whoever reads this", "pip install .": "below"}
ENVIRONMENT = {"OPENAI_API_KEY": "sk-test"}
SERVE = "OPENAI_API_KEY=sk-... tollkeeper serve"
CALL = """curl --fail --silent http://127.0.0.1:9080/v1/chat/completions -H "Authorization: Bearer tk-..." \
 -d '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}'"""


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    text = (ROOT / f"{page}.md").read_text("utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def greeter(shown: Shown) -> bytes:
    """What a model does with the gate that docs/chat.md asks for a greeting."""
    results = shown.results()
    if not results:
        value = {"uri": "/greeting", "plugins": {"mocking": {"response_example": "hi"}}}
        return proposes({"do": "put", "kind": "routes", "id": "greeting", "value": value}, what="a greeting")
    return applies(shown) if len(results) == 1 else says("Requests to /greeting are answered with hi now.")


def hello(request: Request, connection: Connection) -> bool | None:
    """A provider that says hello in nine tokens and two, and runs the gate where it is given tools."""
    if request.path.endswith("/models"):
        return json_answer(200, {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})(
            request, connection
        )
    if request.json().get("tools"):
        return event_stream(greeter(Shown(request.json())))(request, connection)
    if request.json().get("stream"):
        return event_stream(b"".join(chat_events(["Hel", "lo!"], usage_of(9, 2))))(request, connection)
    return json_answer(200, chat_answer("Hello!", 9, 2))(request, connection)


@pytest.fixture
def shell(tmp_path: Path, page: str) -> Iterator[Shell]:
    """A terminal in a folder where `openai` is a provider of ours. README has the command that pip has installed."""
    with ScriptedUpstream(hello) as upstream, Shell(tmp_path, {}, installed=page == "README") as session:
        config_file = f'[providers.openai]\nbase_url = "{upstream.url}"\n[log]\nformat = "json"\n'
        (session.folder / "tollkeeper.toml").write_text(config_file, "utf-8")
        yield session


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_keeps_its_word(page: str, shell: Shell) -> None:
    prepare(page, shell)

    for language, text in blocks(page):
        if text.rstrip() in RUN_ELSEWHERE:
            continue
        match language:
            case "sh":
                code, said = shell.run(text)
                assert code == 0, f"{text}\n{said}"
            case "console":
                for command, shown in commands(text):
                    _, said = shell.run(command)
                    assert matches(said, shown), f"$ {command}\n{said}"
            case "python" if text.startswith("# "):  # a file of that name
                (shell.folder / text.split()[1]).write_text(text, "utf-8")
            case "python":
                (shell.folder / "example.py").write_text(text, "utf-8")
                code, said = shell.run("python example.py")
                assert (code, said.rstrip()) == (0, "Hello!"), said
                shell.wait_for_events(1)
            case "toml":
                loads(text, shell.folder)
                if page in ("docs/publish", "docs/publish-python", "docs/tools"):
                    shell.configure(text)
                if page == "docs/configure":
                    (shell.folder / "tollkeeper.toml").write_text(text, "utf-8")
            case _:
                # tests/docs/test_websocket_page.py runs the js
                assert language in ("ini", "js"), f"nobody runs {language} blocks"


def prepare(page: str, shell: Shell) -> None:
    """What a reader has done before: README and the configuration start from nothing, the others at a running gate."""
    if page in ("README", "docs/configure"):
        return
    shell.run(SERVE)
    if page != "docs/keys":
        assert shell.run("tollkeeper keys create --name caller")[0] == 0
        assert shell.run(CALL)[0] == 0
        shell.wait_for_events(1)


def commands(text: str) -> list[tuple[str, str]]:
    """Each `$ command` of a console block, and what is shown below it."""
    parts = [part.partition("\n") for part in ("\n" + text).split("\n$ ")[1:]]
    return [(command, shown) for command, _, shown in parts]


def loads(text: str, folder: Path) -> None:
    """Puts a TOML block through the loader."""
    path = folder / "block.toml"
    path.write_text(text, "utf-8")
    config.load(path, ENVIRONMENT)


def test_what_is_shown_is_compared() -> None:
    said = "key_1 (ada)\ntk-0123\n\n12 events,  3 tokens\n"

    assert matches(said, "key_… (ada)\ntk-…\n\n… events, … tokens\n")
    assert matches(said, "…\n… events, 3 tokens")
    assert not matches(said, "key_… (bob)\ntk-…\n\n… events, … tokens\n")
    assert not matches(said, "key_… (ada)\n… events, 3 tokens")
    assert matches("", "")
    assert not matches("a word", "")


def test_pip_install_makes_a_gate_that_serves(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", site, "."], cwd=ROOT, check=True
    )
    environment = {"PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import tollkeeper; print(tollkeeper.__file__)"]
    found = subprocess.run(where, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True).stdout

    with running_gate(tmp_path / "gate", "", environment, "--demo") as gate:
        ask = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        status, _, body = gate.call("POST", "/v1/chat/completions", gate.about["demo_key"], ask)

    assert found.startswith(str(site))
    assert status == 200
    assert json.loads(body)["usage"]["prompt_tokens"] == 1


def pages() -> list[Path]:
    """All there are."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))

    for link in links:
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", target):
            continue
        path = page.parent / target if target else page
        assert path.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings]


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []
