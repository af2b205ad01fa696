"""Real clients of every dialect through the gate; docs/compatibility.md says what this finds and nothing else."""

from collections.abc import Iterator

import pytest

from clients.compatibility import PAGE, SDKS, Sdk, outcomes, page, provider, rows
from kit.across import config
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream


@pytest.fixture(scope="module")
def every_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate before an upstream that speaks every dialect."""
    with (
        ScriptedUpstream(provider) as upstream,
        running_gate(tmp_path_factory.mktemp("every-gate"), config(upstream.port)) as running,
    ):
        yield running


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.label)
def test_a_client_gets_what_every_provider_said_as_the_page_has_it(every_gate: GateProcess, sdk: Sdk) -> None:
    if not sdk.is_there:
        pytest.skip(f"scripts/setup-clients has not run: .clients/{sdk.environment} is missing")

    found = outcomes(sdk, every_gate, every_gate.new_key())

    shown = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {sdk.label} |")]
    assert rows(sdk, found) == shown, {where: troubles for where, troubles in found.items() if troubles}


def test_the_page_is_the_one_that_is_made_from_its_rows() -> None:
    text = PAGE.read_text("utf-8")
    shown = [line for line in text.splitlines() if line.startswith(tuple(f"| {sdk.label} |" for sdk in SDKS))]

    assert text == page(shown)
