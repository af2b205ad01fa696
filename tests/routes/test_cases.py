"""Cases of ordinary routes and of the Admin API: those transcribed from APISIX's own suite, and ours in the same form."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.backends import Refusing, backends
from kit.cases import Runner, load, plugins_of
from kit.gate import running_gate
from tollkeeper import plugins
from tollkeeper.routes.registry import Registry

OURS = Path(__file__).parent.parent / "cases"
THEIRS = os.environ.get("TOLLKEEPER_CASES")
FILES = sorted(OURS.glob("*.yaml")) + (sorted(Path(THEIRS).glob("*.yaml")) if THEIRS else [])
CASES = {path.name: load(path) for path in FILES}
CONFIG = """
[routing]
allow_nodes = ["127.0.0.0/8"]
path_parameters = {parameters}
"""


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Runner]]:
    """A gate for each of APISIX's two routers that cases ask for."""
    refusing = Refusing(*(f"127.0.0.{number}" for number in range(1, 5)))
    with backends(1980, 1981, 1982, 1986) as ports:
        plain, parameters = (CONFIG.format(parameters=each) for each in ("false", "true"))
        with (
            running_gate(tmp_path_factory.mktemp("plain"), plain) as one,
            running_gate(tmp_path_factory.mktemp("parameters"), parameters) as other,
        ):
            yield {False: Runner(one, ports, refusing), True: Runner(other, ports, refusing)}
    refusing.close()


@pytest.mark.parametrize(("file", "id"), [(file, id) for file, cases in CASES.items() for id in cases])
def test_a_case_is_answered_as_it_says(runners: dict[bool, Runner], file: str, id: str) -> None:
    cases = CASES[file]
    missing = [name for name in plugins_of(cases, id) if Registry(plugins).get(name) is None]
    if missing and cases[id].get("unknown_plugins") is None:
        pytest.skip(f"there is no plugin {', '.join(missing)}")

    runners["router" in cases[id]].run(cases, id)


@pytest.mark.skipif(THEIRS is None, reason="TOLLKEEPER_CASES is not set")
def test_the_transcribed_cases_are_there() -> None:
    assert len(CASES["apisix.yaml"]) > 50
