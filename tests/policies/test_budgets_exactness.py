"""500 calls at once against a budget for ten: ten are admitted, and at no instant is more spent and held than there is."""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from kit import calls
from kit.budgets import FRAME
from kit.gate import running_gate
from kit.load import load
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from tollkeeper.app import App, open_app
from tollkeeper.core.call import Reply
from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import usd_from_nano

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SIZE = len(json.dumps(BODY))
OUTPUT = 20
CEILING = (FRAME + SIZE) * 1000 + OUTPUT * 2000
"""Nano-USD: what each call may cost, and does."""
AMOUNT = 11 * CEILING - 5 * 2000
"""For ten calls and all but one token of what would admit one more: less than 16 of output are not worth a call."""
CONFIG = f"""
[providers.up]
kind = "openai"
base_url = "{{url}}"
api_key = "sk-x"
timeouts = {{{{ connect = 30, first_byte = 30, idle = 30, total = 60 }}}}
[models.m]
targets = ["up/m"]
max_output_tokens = {OUTPUT}
price = {{{{ input = 1, output = 2 }}}}
"""
ALL_THAT_IT_MAY = json_answer(200, chat_answer("x", FRAME + SIZE, OUTPUT))


@contextlib.asynccontextmanager
async def _app(folder: Path, url: str) -> AsyncIterator[App]:
    path = folder / "tollkeeper.toml"
    path.write_text(CONFIG.format(url=url), "utf-8")
    app = open_app(path, folder / "home", {}, quiet=True)
    try:
        yield app
    finally:
        assert await app.close()
        await asyncio.sleep(0.05)  # what was closed is closed by the loop


async def _once(app: App) -> Counter[str]:
    """500 calls at once by a new key whose budget is for ten; how each ended."""
    key, _ = app.key_store.create("n", budgets=[f"{usd_from_nano(AMOUNT)} USD/day"])
    running = True
    looked = 0

    async def watch() -> None:
        nonlocal looked
        while running:
            [(line, purse)] = await app.budgets.standings([key], int(time.time() * 1000))
            assert line.hard is not None
            assert purse.spent + purse.held <= line.hard.amount
            looked += 1
            await asyncio.sleep(0)

    async def one() -> str:
        call = calls.call(key, BODY, request_id=app.new_id())
        try:
            reply = await app.flow.handle(call)
        except CallerError as error:
            return str(error.code)
        [(_, _, _, amount, spent, held, ceiling)] = [note for note in call.notes if note[0] == "budget"]
        assert spent + held + ceiling <= amount  # type: ignore[operator]
        return str(reply.status)

    watching = asyncio.ensure_future(watch())
    ended = Counter(await asyncio.gather(*(one() for _ in range(500))))
    running = False
    await watching
    [(_, purse)] = await app.budgets.standings([key], int(time.time() * 1000))
    assert (purse.spent, purse.held) == (10 * CEILING, 0)
    assert looked > 2
    return ended


def _repeat(folder: Path, times: int) -> None:
    async def scenario() -> None:
        async with _app(folder, upstream.url) as app:
            for _ in range(times):
                ended = await _once(app)
                assert ended["200"] == 10, ended
                assert set(ended) <= {"200", "budget_held", "budget_exceeded"}

    with ScriptedUpstream(ALL_THAT_IT_MAY) as upstream:
        asyncio.run(scenario())
        assert len(upstream.requests) == 10 * times


@pytest.mark.row(59)
def test_of_500_at_once_ten_are_admitted(tmp_path: Path) -> None:
    _repeat(tmp_path, 5)


@pytest.mark.row(59)
@pytest.mark.long
def test_of_500_at_once_ten_are_admitted_200_times(tmp_path: Path) -> None:
    _repeat(tmp_path, 200)


def test_calls_that_are_cancelled_at_any_moment_leave_nothing_held_and_lose_nothing(tmp_path: Path) -> None:
    draw = random.Random(3)

    def slowly(request: Request, connection: Connection) -> bool:
        time.sleep(draw.random() / 30)
        return bool(ALL_THAT_IT_MAY(request, connection))

    async def scenario() -> None:
        async with _app(tmp_path, upstream.url) as app:
            key, _ = app.key_store.create("n", budgets=["1 USD/day", "1000000 tokens"])
            running = []
            for _ in range(300):
                call = calls.call(key, BODY, request_id=app.new_id())
                running.append(asyncio.ensure_future(app.flow.handle(call)))
                if draw.random() < 0.3:
                    await asyncio.sleep(draw.random() / 100)
                if draw.random() < 0.5:
                    draw.choice(running).cancel()
                if draw.random() < 0.1:
                    call.presence.leave()
            for task in running:
                await asyncio.sleep(draw.random() / 1000)
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert sum(isinstance(each, Reply) for each in ended) > 5
            assert sum(isinstance(each, asyncio.CancelledError) for each in ended) > 5
            await app.counting.finish()
            for _, purse in await app.budgets.standings([key], int(time.time() * 1000)):
                [spent] = await app.balances.spent([purse.slice], lambda: None)
                assert (purse.held, purse.risk) == (0, 0)
                assert purse.spent == (spent.nano if purse.unit == "usd" else spent.tokens) > 0

    with ScriptedUpstream(slowly) as upstream:
        asyncio.run(scenario())


@pytest.mark.row(59)
def test_through_the_door_ten_of_500_are_admitted_and_the_others_cost_nothing(tmp_path: Path) -> None:
    release = threading.Event()

    def script(request: Request, connection: Connection) -> bool:
        assert request.json()["max_completion_tokens"] == OUTPUT
        release.wait(30)
        return bool(ALL_THAT_IT_MAY(request, connection))

    with ScriptedUpstream(script) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        budget = usd_from_nano(AMOUNT)
        key = gate.new_key(budgets=[f"{budget} USD/month", "1 USD/day"])

        def standing() -> tuple[Decimal, Decimal]:
            row = json.loads(gate.operator("GET", "/api/budgets")[2])["data"][0]
            return Decimal(row["spent"]), Decimal(row["held"])

        def let_them_end() -> None:
            until = time.monotonic() + 30
            while len(upstream.requests) < 10 and time.monotonic() < until:
                time.sleep(0.01)
            held.append(standing())
            release.set()

        held: list[tuple[Decimal, Decimal]] = []
        helper = threading.Thread(target=let_them_end)
        helper.start()
        answers = asyncio.run(load(gate.port, key, 500, 250))
        helper.join()

        ten = Decimal(10 * CEILING) / 10**9
        statuses = Counter(answer.status for answer in answers)
        assert statuses == {200: 10, 429: 490}
        assert held == [(0, ten)]
        refused = [answer for answer in answers if answer.status == 429]
        codes = Counter(json.loads(answer.body)["error"]["code"] for answer in refused)
        assert codes["budget_held"] > 0
        assert all(answer.headers["x-should-retry"] in ("true", "false") for answer in refused)
        assert standing() == (ten, 0)
        assert len(gate.events_once(10)) == len(upstream.requests) == 10
        assert {event["held_usd"] for event in gate.events()} == {usd_from_nano(CEILING)}
