"""What plugins took for a request they give back, however it ends."""

from collections.abc import Iterator

import pytest

from kit.gate import GateProcess, request, running_gate

BREAKING = '''"""Breaks."""

from typing import Any, ClassVar

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.plugin import Plugin


class Breaking(Plugin):
    """Breaks where it is told to."""

    priority = 10
    schema: ClassVar[dict[str, Any]] = {"type": "object", "properties": {"at": {"type": "string"}}}

    def access(self, exchange: Exchange) -> Response | None:
        if self.conf["at"] == "access":
            raise ZeroDivisionError
        return Response(200, body=b"well")

    def header_filter(self, exchange: Exchange) -> None:
        if self.conf["at"] == "header_filter":
            raise ZeroDivisionError
'''
CONFIG = """
[routing]
plugins = "own"
""" + "".join(
    f"""
[routes.{at}]
uri = "/{at}"
plugins.breaking = {{ at = "{at}" }}
plugins.limit-conn = {{ conn = 1, burst = 0, default_conn_delay = 0.1, key = "remote_addr" }}
"""
    for at in ("access", "header_filter", "nowhere")
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "own").mkdir()
    (folder / "own" / "breaking.py").write_text(BREAKING, "utf-8")
    with running_gate(folder, CONFIG) as running:
        yield running


@pytest.mark.parametrize(("at", "status"), [("access", 500), ("header_filter", 500), ("nowhere", 200)])
def test_a_plugin_that_breaks_keeps_nothing_that_others_took(gate: GateProcess, at: str, status: int) -> None:
    for _ in range(3):
        assert request("GET", f"{gate.url}/{at}", {})[0] == status
