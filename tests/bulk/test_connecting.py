"""Who answers a job: a home that nobody else serves, with a key that is there, or a gate with a key of its own."""

from pathlib import Path

import pytest

from kit.loops import in_a_loop
from tollkeeper.bulk import connecting
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.stores.sqlite.sole import sole


@in_a_loop
async def _open(home: Path, key: str) -> None:
    async with connecting.in_process(None, home, key, "job") as (app, engine):
        assert engine.key.name == key
        assert await connecting.spent(app, engine.key) == 0
        with pytest.raises(CallerError):
            connecting.price_of(app, "no-such-model")


def test_a_home_is_opened_with_a_key_that_is_made_once(tmp_path: Path) -> None:
    _open(tmp_path / "home", "bulk")
    _open(tmp_path / "home", "bulk")
    with pytest.raises(CallerError, match="There is no key 'other'"):
        _open(tmp_path / "home", "other")


def test_a_home_that_a_gate_serves_is_left_to_it(tmp_path: Path) -> None:
    with sole(tmp_path / "home"), pytest.raises(GateError, match="serves"):
        _open(tmp_path / "home", "bulk")


@in_a_loop
async def test_a_gate_wants_a_key() -> None:
    with pytest.raises(CallerError, match="TOLLKEEPER_KEY"):
        async with connecting.through_gate("http://127.0.0.1:9", ""):
            pass
