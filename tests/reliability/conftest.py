"""A gate with small limits in front of a scripted upstream, one for all of these tests: nothing they try may harm it."""

from collections.abc import Iterator

import pytest

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

CONFIG = """
[server.limits]
json_body = 1000000
body = 2000000
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-provider-canary-0123456789"
timeouts = {{ connect = 1, first_byte = 1, idle = 1, total = 300 }}
[retry]
retries = 0
[health]
failures = 1000
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""
WELL = json_answer(200, chat_answer())


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    """Answers a chat; tests may give it another script."""
    with ScriptedUpstream(WELL) as scripted:
        yield scripted


@pytest.fixture(autouse=True)
def as_ever(upstream: ScriptedUpstream) -> None:
    """What another test had it do is forgotten."""
    upstream.script = WELL


@pytest.fixture(scope="session")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """Its model is `m`."""
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running
