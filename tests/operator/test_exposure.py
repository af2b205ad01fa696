"""The operator port leaves this machine only behind keys that nobody guesses."""

from pathlib import Path

import pytest

from kit.terminal import tollkeeper
from tollkeeper.core.errors import GateError
from tollkeeper.operator.exposure import check

FILE = Path("home/operator.key")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_any_key_will_do(host: str) -> None:
    check(host, {FILE: "short"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "gate.example"])
def test_beyond_it_a_key_has_a_length(host: str) -> None:
    check(host, {FILE: "op-" + "0" * 48})
    with pytest.raises(GateError, match=r"delete home/operator\.key"):
        check(host, {Path("home/viewer.key"): "ov-" + "0" * 48, FILE: "short"})


def test_a_gate_does_not_start_with_its_operator_port_open_to_others_behind_a_short_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "operator.key").write_text("secret\n", "ascii")
    (tmp_path / "tollkeeper.toml").write_text('[server]\noperator_host = "0.0.0.0"\n', "utf-8")
    ended = tollkeeper("serve", "--home", str(home), "--port", "0", "--operator-port", "0", folder=tmp_path)
    assert ended.code != 0
    assert "The operator port is not opened on 0.0.0.0" in ended.error
