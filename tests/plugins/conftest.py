"""One gate and one upstream for all tests of plugins: what a test configures is its own by name."""

from collections.abc import Iterator

import pytest

from kit.gate import running_gate
from kit.routed import CONFIG, Site, telling
from kit.scripted import ScriptedUpstream, chat_answer, json_answer


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gate that allows loopback nodes, and an upstream that tells what it was asked."""
    with ScriptedUpstream(telling) as upstream, running_gate(tmp_path_factory.mktemp("site"), CONFIG) as gate:
        yield Site(gate, upstream)


@pytest.fixture
def provider() -> Iterator[ScriptedUpstream]:
    """Answers every chat request; a test may set another script."""
    with ScriptedUpstream(json_answer(200, chat_answer())) as server:
        yield server
