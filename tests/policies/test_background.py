"""Responses in the background: what is held for them is held until their usage is charged, and not for ever."""

import asyncio
import json
from pathlib import Path
from typing import Any

from kit import calls
from kit.budgets import NOW, TARGET, Desk, of_key
from kit.gate import running_gate
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from tollkeeper.core.usage import NOTHING

HOUR = 3_600_000
BUDGET = "key:key_1:usd:total:UTC"
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""


def _response(usage: Any, status: str) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "background": True, "model": "m", "status": status, "usage": usage}


def test_what_goes_on_in_the_background_is_held_until_its_end_is_charged_once(tmp_path: Path) -> None:
    answers = [_response(None, "queued"), _response(None, "in_progress")]

    def script(request: Request, connection: Connection) -> bool:
        end = _response({"input_tokens": 10, "output_tokens": 90, "total_tokens": 100}, "completed")
        return bool(json_answer(200, answers.pop(0) if answers else end)(request, connection))

    with ScriptedUpstream(script) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        key = gate.new_key(name="k", budgets=["1 USD"])

        def standing() -> tuple[str, bool]:
            row = json.loads(gate.operator("GET", "/api/budgets")[2])["data"][0]
            return row["spent"], row["held"] != "0"

        ask = {"model": "m", "input": "hi", "background": True, "max_output_tokens": 1000}
        assert gate.call("POST", "/v1/responses", key, ask)[0] == 200
        gate.events_once(1)
        assert standing() == ("0", True)
        assert gate.call("GET", "/v1/responses/resp_1", key)[0] == 200
        gate.events_once(2)
        assert standing() == ("0", True)
        for looks in (3, 4):
            assert gate.call("GET", "/v1/responses/resp_1", key)[0] == 200
            gate.events_once(looks)
            assert standing() == ("0.0001", False)
        assert sum(float(event["cost_usd"]) for event in gate.events()) == 0.0001


def test_what_nobody_looks_at_is_held_for_an_hour_at_most() -> None:
    async def scenario() -> list[int]:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD"))
        held = []
        for number in range(3):
            asked = await desk.ask(key, {"max_completion_tokens": 1})
            asked.reservation.settle(0, NOTHING, f"resp_{number}", False)
            held.append((await desk.standing(key, BUDGET))[1])
            desk.now += HOUR * 2 // 3
        assert desk.now - NOW == 2 * HOUR
        return held

    first, second, third = asyncio.run(scenario())

    assert second == third == 2 * first


def test_a_look_at_what_is_not_held_for_changes_nothing() -> None:
    async def scenario() -> tuple[int, int]:
        desk = Desk()
        key = calls.key(budgets=of_key("1 USD"))
        asked = await desk.ask(key, {"max_completion_tokens": 1})
        asked.reservation.settle(0, NOTHING, "resp_1", False)
        held = asked.reservation.held_nano or 0
        look = await desk.budgets.reserve(calls.call(key, metered=False), TARGET, NOW)
        assert look is not None
        look.settle(0, NOTHING, "resp_2", True)
        look.settle(0, NOTHING, "resp_1", False)
        look.settle(0, NOTHING, None, True)
        look.release()
        assert look.grow(10**9)
        return held, (await desk.standing(key, BUDGET))[1]

    held, still = asyncio.run(scenario())

    assert held == still > 0
