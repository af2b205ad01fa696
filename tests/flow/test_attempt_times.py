"""What is recorded of an attempt's time proves who was admitted when, though the system may stop the gate at any point."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from kit import calls
from kit.budgets import PRICE, TARGET, Desk, of_key
from kit.records import NOW, request_id, write
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.keys import Key
from tollkeeper.core.usage import Heard, Reported, Usage
from tollkeeper.flow.attempt import Attempt
from tollkeeper.stores.sqlite.proof import prove

BODY = {"max_completion_tokens": 100}


class Time:
    """A microsecond passes at each look at a clock, and at times the system lets others run first or after."""

    def __init__(self, chance: random.Random, stopped: float) -> None:
        self._chance = chance
        self._stopped = stopped
        self.passed = 0.0

    def monotonic(self) -> float:
        self._perhaps_stopped()
        seen = self.passed
        self._perhaps_stopped()
        return 5.0 + seen

    def now(self) -> float:
        return NOW / 1000 - 5.0 + self.monotonic()

    def _perhaps_stopped(self) -> None:
        self.passed += 0.0000005
        if self._chance.random() < self._stopped:
            self.passed += self._chance.uniform(0.001, 0.02)


class Gate:
    """Attempts as flow makes them, at a desk of budgets that hears of their events."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.desk = Desk()
        self.events: list[Event] = []

    async def begin(self, key: Key) -> Attempt:
        call = calls.call(key, {"model": "m", "messages": [], **BODY}, request_id=request_id())
        attempt = Attempt(
            call,
            TARGET,
            1,
            ledger=self,
            observe=lambda event: None,
            price_of=lambda *asked: PRICE,
            now=self.time.now,
            monotonic=self.time.monotonic,
            timeouts=Patience(),
        )
        reservation = await self.desk.budgets.reserve(call, TARGET, attempt.hold.started_at)
        assert reservation is not None
        attempt.reserve(reservation)
        attempt.dispatch()
        return attempt

    def end(self, attempt: Attempt, tokens: int) -> None:
        attempt.hear(Heard(Reported(Usage(input_tokens=9, output_tokens=tokens), b"{}")))
        attempt.settle("ok")

    async def hold(self, hold: Hold) -> None:
        """It is not asked to."""

    def release(self, request_id: str, attempt: int) -> None:
        """It is not asked to."""

    def settle(self, event: Event, once: str | None = None, *, look: bool = False) -> None:
        self.events.append(event)
        self.desk.listed.events.append(event)
        self.desk.budgets.post(event)


async def _lived(gate: Gate, chance: random.Random) -> None:
    """A few hundred attempts, up to 25 at once, that begin and end in each other's milliseconds."""
    key = calls.key(budgets=of_key("0.001 USD/day"))
    under_way: list[Attempt] = []
    for _ in range(600):
        gate.time.passed += chance.choice((0.00001, 0.0002, 0.0009))
        if len(under_way) < 25 and chance.random() < 0.55:
            with contextlib.suppress(CallerError):
                under_way.append(await gate.begin(key))
        elif under_way:
            gate.end(under_way.pop(chance.randrange(len(under_way))), chance.randrange(101))
    for attempt in under_way:
        gate.end(attempt, 100)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stopped", [0.0, 0.02])
def test_nobody_is_accused_whenever_the_system_stops_the_gate(home: Path, stopped: float, seed: int) -> None:
    chance = random.Random(seed)
    gate = Gate(Time(chance, stopped))
    asyncio.run(_lived(gate, chance))
    write(home, gate.events)

    proof = prove(home, NOW)

    assert proof.admissions > 200
    assert [problem for problem in proof.problems if "keys that never were" not in problem] == []
