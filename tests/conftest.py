"""Fixtures that several folders of tests share."""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

# A machine that is busy with others' work is no fault of a property's: none goes by the clock.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-provider-canary-0123456789"
leave = "drain"
timeouts = {{ connect = 10, first_byte = 20, idle = 4, total = 60 }}

[models."gpt-4o-mini"]
targets = ["up/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6, cached_input = 0.075 }}

[models.alias]
targets = ["up/real-name"]
price = {{ input = 1, output = 2 }}
"""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: neither now nor later is there garbage to be looked for in it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream; each test sets its script."""
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate in front of the scripted upstream."""
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(scope="module")
def key(gate: GateProcess) -> str:
    """A caller's key."""
    return gate.new_key(name="caller")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"
