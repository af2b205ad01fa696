"""[websocket]: mistakes are named with their place."""

from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('model = "m"\napi = "a"', "websocket.api: expected either a model or an api"),
        ('path = "ws"', "websocket.path: expected"),
        ('path = "/"', "websocket.path: expected"),
        ('actions = { cancel = { model = "m" } }', "'cancel' is there already"),
        ("actions = { x = {} }", "websocket.actions.x: expected a model or an api"),
        ('origins = ["example.com"]', "websocket.origins: expected"),
        ("limits = { message = 0 }", "websocket.limits.message: expected"),
        ("memory = -1", "websocket.memory: expected"),
    ],
)
def test_a_mistake_is_refused_and_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "tollkeeper.toml"
    path.write_text(f"[websocket]\n{text}\n", "utf-8")

    with pytest.raises(ConfigError) as refused:
        config.load(path, {})
    assert problem in str(refused.value)
