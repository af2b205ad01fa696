"""Calls in line: whose turn it is, when, and that nobody who has left keeps anything. In simulated time."""

import asyncio
from collections.abc import Sequence

import pytest

from kit.simulated import simulate
from tollkeeper.core.call import Presence
from tollkeeper.core.errors import ClientLeft, GateError
from tollkeeper.core.gcra import Allowance, Standing, allowance
from tollkeeper.core.rate import parse
from tollkeeper.policies.limits.waiting import Waiting
from tollkeeper.stores.memory.limits import MemoryLimiter


def everybodys(*texts: str) -> list[Allowance]:
    return [allowance(parse(text, "all", None)) for text in texts]


def keys(name: str, *texts: str) -> list[Allowance]:
    return [allowance(parse(text, "key", name)) for text in texts]


class Line:
    """A line before a limiter, and what became of those who stood in it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.limiter = MemoryLimiter(self.loop.time)
        self.waiting = Waiting(self.limiter)
        self.served: list[str] = []
        self.tasks: dict[str, asyncio.Task[list[Standing] | None]] = {}
        self.present: dict[str, Presence] = {}

    def now(self) -> float:
        """Seconds since it began."""
        return self.loop.time() - self.began

    async def join(
        self, name: str, allowances: Sequence[Allowance], *costs: int, key: str | None = None, seconds: float = 3600.0
    ) -> None:
        """Stands in line as a call that was just refused; `name` begins with its key's, "a1"."""
        presence = self.present[name] = Presence()

        async def wait() -> list[Standing] | None:
            standings = await self.limiter.look(allowances, costs)
            turn = await self.waiting.turn(
                key or name[0], allowances, costs, standings, holder=name, presence=presence, seconds=seconds
            )
            if turn is not None:
                self.served.append(name)
            return turn

        self.tasks[name] = self.loop.create_task(wait())
        await settle()

    async def done(self) -> None:
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settle() -> None:
    """Lets everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_keys_take_turns_and_each_keys_calls_go_in_order() -> None:
    async def scenario() -> list[str]:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
            await line.join(name, limits, 1)
        for _ in range(7):
            line.limiter.adjust(limits, [-1], "first")
            line.waiting.wake()
            await settle()
        return line.served

    assert simulate(scenario()) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_turn_comes_at_the_moment_that_the_limit_allows_it() -> None:
    async def scenario() -> list[float]:
        line, limits = Line(), everybodys("60 requests/minute burst 1")
        await line.limiter.take(limits, [1], "first")
        at: list[float] = []
        for name in ("a1", "a2", "a3"):
            await line.join(name, limits, 1)
            line.tasks[name].add_done_callback(lambda _: at.append(line.now()))
        await line.done()
        return at

    at = simulate(scenario())

    assert [round(moment) for moment in at] == [1, 2, 3]
    assert all(number <= moment < number + 0.01 for number, moment in enumerate(at, 1))


def test_a_large_call_is_not_starved_by_small_ones_behind_it() -> None:
    async def scenario() -> tuple[list[str], float]:
        line, limits = Line(), everybodys("60 tokens/minute burst 10")
        await line.limiter.take(limits, [10], "first")
        await line.join("a1", limits, 30)
        for number in range(1, 9):
            await line.join(f"b{number}", limits, 1)
            assert line.waiting.goes_before("c", limits)
        await asyncio.wait_for(line.tasks["a1"], 60)
        at = line.now()
        return line.served[:1], at

    served, at = simulate(scenario())

    assert served == ["a1"]
    assert 10 <= at < 10.1


def test_a_limit_of_its_own_keeps_a_key_waiting_and_nobody_else() -> None:
    async def scenario() -> list[str]:
        line = Line()
        shared = everybodys("600 requests/minute")
        mine, yours = keys("a", "1 requests/minute"), keys("b", "1 concurrent")
        await line.limiter.take(mine + yours, [1, 1], "first")
        await line.join("a1", mine + shared, 1, 1)
        await line.join("b1", yours + shared, 1, 1)
        assert not line.waiting.goes_before("c", shared)
        line.limiter.adjust(yours, [-1], "first")
        line.waiting.wake()
        await line.done()
        return line.served

    assert simulate(scenario()) == ["b1", "a1"]


def test_nobody_new_goes_before_those_who_wait_for_the_same() -> None:
    async def scenario() -> None:
        line = Line()
        limits, others = everybodys("1 concurrent"), keys("b", "5 requests/minute")
        await line.limiter.take(limits, [1], "first")
        assert not line.waiting.goes_before("a", limits)
        task = asyncio.ensure_future(line.join("a1", limits, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert line.waiting.goes_before("b", limits)
        assert line.waiting.goes_before("a", others)
        assert not line.waiting.goes_before("b", others)
        await task
        line.present["a1"].leave()
        await settle()
        assert not line.waiting.goes_before("b", limits)
        assert not line.waiting.goes_before("a", limits)

    simulate(scenario())


def test_a_client_that_leaves_is_out_at_once_and_takes_nothing() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        await line.join("a1", limits, 1)
        await line.join("b1", limits, 1)
        line.present["a1"].leave()
        assert line.waiting.count == 1
        with pytest.raises(ClientLeft):
            await line.tasks["a1"]
        line.limiter.adjust(limits, [-1], "first")
        line.waiting.wake()
        await line.done()
        assert line.served == ["b1"]
        assert (await line.limiter.look(limits, [0]))[0][0] == 0

    simulate(scenario())


def test_who_has_left_before_does_not_wait() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        presence = Presence()
        presence.leave()
        with pytest.raises(ClientLeft):
            await line.waiting.turn("a", limits, [1], [(0, 0, -1)], holder="a1", presence=presence, seconds=5)
        assert line.waiting.count == 0

    simulate(scenario())


def test_time_is_up_when_it_is_and_those_behind_are_looked_at() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("60 tokens/minute burst 10")
        await line.limiter.take(limits, [10], "first")
        await line.join("a1", limits, 40, seconds=2)
        await line.join("b1", limits, 5)
        assert await line.tasks["a1"] is None
        assert 2 <= line.now() < 2.01
        await line.done()
        assert 5 <= line.now() < 5.01
        assert line.served == ["b1"]

    simulate(scenario())


def test_a_gate_that_stops_lets_nobody_wait() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        await line.join("a1", limits, 1)
        await line.join("b1", limits, 1)
        line.waiting.close()
        for task in line.tasks.values():
            with pytest.raises(GateError) as stopped:
                await task
            assert stopped.value.code == "shutting_down"
        assert line.waiting.count == 0
        assert not line.waiting.room("a", 100)

    simulate(scenario())


def test_a_call_that_is_stopped_in_the_moment_of_its_turn_gives_it_back() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        await line.join("a1", limits, 1)
        line.limiter.adjust(limits, [-1], "first")
        line.waiting.wake()
        await asyncio.sleep(0)  # the turn is given; the call has not run yet
        assert (await line.limiter.look(limits, [0]))[0][0] == 0
        line.tasks["a1"].cancel()
        await line.done()
        assert line.tasks["a1"].cancelled()
        assert (await line.limiter.look(limits, [0]))[0][0] == 1

    simulate(scenario())


def test_a_full_line_has_room_for_a_key_with_fewer_in_it() -> None:
    async def scenario() -> None:
        line, limits = Line(), everybodys("1 concurrent")
        await line.limiter.take(limits, [1], "first")
        assert not line.waiting.room("a", 0)
        for name in ("a1", "a2", "a3", "b1"):
            assert line.waiting.room(name[0], 4)
            await line.join(name, limits, 1)
        assert not line.waiting.room("a", 4)
        assert line.waiting.room("b", 4)
        await settle()
        assert line.tasks["a3"].done()
        assert line.tasks["a3"].result() is None
        await line.join("b2", limits, 1)
        assert not line.waiting.room("b", 4)
        assert line.waiting.count == 4
        assert line.waiting.room("c", 4)
        line.waiting.close()
        await line.done()

    simulate(scenario())


def test_many_keys_share_a_limit_evenly_however_much_each_asks() -> None:
    async def scenario() -> dict[str, int]:
        line, limits = Line(), everybodys("60 requests/minute burst 1")
        await line.limiter.take(limits, [1], "first")
        for number in range(40):
            await line.join(f"a{number}", limits, 1)
        for number in range(4):
            await line.join(f"b{number}", limits, 1)
            await line.join(f"c{number}", limits, 1)
        await asyncio.sleep(12.5)
        served = {key: sum(name[0] == key for name in line.served) for key in "abc"}
        line.waiting.close()
        await line.done()
        return served

    assert simulate(scenario()) == {"a": 4, "b": 4, "c": 4}
