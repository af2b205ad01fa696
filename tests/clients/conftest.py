"""Fixtures of the client tests: aimock, a gate in front of it, and a caller of each gate."""

from collections.abc import Iterator

import pytest

from clients.aimock import PROVIDER_KEY, Aimock, running_aimock
from clients.caller import Caller, new_caller
from clients.environments import HAS_NODE, NO_NODE
from kit.gate import GateProcess, running_gate

CONFIG = """
[providers.mock]
kind = "openai"
base_url = "{url}/v1"
api_key = "{key}"
batch = "openai"

[providers.azure-mock]
kind = "azure"
base_url = "{url}/openai"
api_key = "{key}"

[models."gpt-4o-mini"]
targets = ["mock/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6 }}

[models."team/quick"]
targets = ["mock/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6 }}

[models.deployed]
targets = ["azure-mock/gpt-4o-mini"]
price = {{ input = 0.15, output = 0.6 }}

[models."text-embedding-3-small"]
targets = ["mock/text-embedding-3-small"]
price = {{ input = 0.02 }}

[models.whisper-1]
targets = ["mock/whisper-1"]

[models."team/ears"]
targets = ["mock/whisper-1"]

[models.gpt-image-1]
targets = ["mock/gpt-image-1"]

[models.tts-1]
targets = ["mock/tts-1"]
"""


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """The independent provider."""
    if not HAS_NODE:
        pytest.skip(NO_NODE)
    with running_aimock(tmp_path_factory.mktemp("aimock") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def aimock_gate(aimock: Aimock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate in front of it."""
    config = CONFIG.format(url=aimock.url, key=PROVIDER_KEY)
    with running_gate(tmp_path_factory.mktemp("aimock-gate"), config) as running:
        yield running


@pytest.fixture
def caller(aimock_gate: GateProcess) -> Caller:
    """Someone who calls aimock through the gate."""
    return new_caller(aimock_gate)


@pytest.fixture
def scripted_caller(gate: GateProcess) -> Caller:
    """Someone who calls the scripted upstream through the gate."""
    return new_caller(gate)
