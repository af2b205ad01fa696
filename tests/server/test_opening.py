"""The gate over an app: what fails inside it is logged with its place, and told to the caller by its number."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tollkeeper.app import open_app
from tollkeeper.server.opening import door_of


def test_a_defect_is_logged_with_its_place_and_the_caller_gets_the_requests_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tollkeeper.toml"
    config.write_text('[log]\nformat = "json"\n', "utf-8")
    sent: list[Any] = []

    async def ask() -> None:
        app = open_app(config, tmp_path / "home", {})
        app.health = lambda: 1 // 0  # type: ignore[method-assign, assignment, return-value]
        gate = door_of(app)
        scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": [], "query_string": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        await gate(scope, send, send)  # type: ignore[arg-type]
        app.log.flush()
        await app.close()

    asyncio.run(ask())

    line = next(json.loads(line) for line in capsys.readouterr().err.splitlines() if "internal_error" in line)
    request_id = dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert (line["request_id"], line["error"]) == (request_id, "ZeroDivisionError")
    assert line["at"].startswith("test_opening.py:")
    assert (sent[0]["status"], request_id in sent[1]["body"].decode()) == (500, True)
