"""The newest MCP client signs in: it finds the issuer by what the gate tells it, and comes back with a token."""

from collections.abc import Iterator

import pytest

from clients.environments import HERE, OPERATORS, answer_of, needs_operators
from kit.gate import GateProcess, running_gate
from kit.issuer import TokenIssuer
from kit.waiting import until

CLIENT = [str(OPERATORS), str(HERE / "mcp_signed_in.py")]


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as made:
        yield made


@pytest.fixture(scope="module")
def gate(issuer: TokenIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate")) as running:
        table = f'\n[mcp.oauth]\nissuer = "{issuer.url}"\nresource = "{running.operator_url}/mcp"\n'
        changed = running.config.with_suffix(".new")  # where it is reached is known only now
        changed.write_text(running.config.read_text("utf-8") + table, "utf-8")
        changed.replace(running.config)
        until(lambda: "config_loaded" in running.log())
        yield running


@needs_operators
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_signs_in_runs_the_gate(gate: GateProcess, issuer: TokenIssuer, mode: str) -> None:
    issuer.grants = ""
    job = {"url": gate.operator_url + "/mcp", "mode": mode, "calls": [("list_resources", {"kind": "routes"})]}

    found = answer_of(CLIENT, job, {}, 60)

    assert set(found["scope"].split()) == {"tollkeeper:read", "tollkeeper:write"}
    assert "apply_proposal" in found["tools"]
    assert not found["results"][0]["failed"]


@needs_operators
def test_a_client_that_is_granted_less_gets_less(gate: GateProcess, issuer: TokenIssuer) -> None:
    issuer.grants = "tollkeeper:read"
    job = {"url": gate.operator_url + "/mcp", "mode": "auto", "calls": []}

    found = answer_of(CLIENT, job, {}, 60)

    assert "list_resources" in found["tools"]
    assert "apply_proposal" not in found["tools"]
