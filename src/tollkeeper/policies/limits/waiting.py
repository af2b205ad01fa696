"""Calls that wait for their turn in place of being refused: fair between keys, first come first served within one.

Rule 1: keys take turns; whom a limit keeps waiting is passed over, but nobody behind takes from that same limit first. So
neither a key that asks much nor small calls can starve another.
Rule 2: nothing is polled. A turn comes when something is given back, or at the moment that a limit's own arithmetic names.
Rule 3: whoever leaves (client gone, time up, gate stopping) is out at once and holds nothing.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from tollkeeper.core.call import Presence
from tollkeeper.core.errors import ClientLeft, GateError, TollkeeperError
from tollkeeper.core.gcra import Allowance, Standing
from tollkeeper.core.ports import Limiter
from tollkeeper.policies.limits.refusals import decisive

_TICK = 0.001
"""Seconds; the event loop's timers are that coarse, and one that rings early would have to ring again."""


class _Waiter:
    """One call in line."""

    __slots__ = ("allowances", "costs", "holder", "key_id", "turn")

    def __init__(
        self,
        key_id: str,
        allowances: Sequence[Allowance],
        costs: Sequence[int],
        holder: str,
        turn: asyncio.Future[list[Standing] | None],
    ) -> None:
        self.key_id = key_id
        self.allowances = allowances
        self.costs = costs
        self.holder = holder
        self.turn = turn
        """The standings once all is taken; None when it must go without."""


class Waiting:
    """One gate's lines, one for each key that has calls waiting."""

    def __init__(self, limiter: Limiter) -> None:
        self.count = 0
        self._limiter = limiter
        self._lines: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        """Whose turn is next comes first. No line is empty."""
        self._awaited: set[str] = set()
        """The limits that the heads of the lines wait for."""
        self._serving: asyncio.Task[None] | None = None
        self._again = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def goes_before(self, key_id: str, allowances: Sequence[Allowance]) -> bool:
        """Whether somebody waits whom a new call of this key must not overtake."""
        if key_id in self._lines:
            return True
        awaited = self._awaited
        return any(allowance.id in awaited for allowance in allowances)

    def room(self, key_id: str, most: int) -> bool:
        """Makes sure of a place. Where all `most` are taken, the key with the longest line gives up its last one."""
        if self._closed or most <= 0:
            return False
        if self.count >= most:
            longest = max(self._lines.values(), key=len)
            if len(longest) <= len(self._lines.get(key_id, ())) + 1:
                return False
            self._out(longest[-1], None)
        return self.count < most

    async def turn(
        self,
        key_id: str,
        allowances: Sequence[Allowance],
        costs: Sequence[int],
        standings: Sequence[Standing],
        *,
        holder: str,
        presence: Presence,
        seconds: float,
    ) -> list[Standing] | None:
        """Waits until all is taken, and returns the standings then; None where the call must go without.

        Raises ClientLeft, and GateError where the gate stops.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(key_id, allowances, costs, holder, loop.create_future())
        self._lines.setdefault(key_id, deque()).append(waiter)
        self.count += 1
        at = decisive(standings)
        if standings[at][2]:
            self._awaited.add(allowances[at].id)
        presence.on_leave(lambda: self._out(waiter, ClientLeft("The client left.")))
        timer = loop.call_later(seconds, self._out, waiter, None)
        self.wake()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if not waiter.turn.cancelled() and waiter.turn.exception() is None and waiter.turn.result() is not None:
                self._give_back(waiter)  # its turn had come, but it was stopped before it heard of it
            raise
        finally:
            timer.cancel()
            self._remove(waiter)

    def wake(self) -> None:
        """Something was given back, or somebody left: whoever can go now does."""
        if self._lines:
            self._again = True
            if self._serving is None:
                self._serving = asyncio.get_running_loop().create_task(self._serve())

    def close(self) -> None:
        """The gate stops: nobody waits any longer, now or later."""
        self._closed = True
        for line in list(self._lines.values()):
            for waiter in list(line):
                self._out(waiter, GateError("The gate is shutting down.", code="shutting_down"))

    async def _serve(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._round()
        finally:
            self._serving = None

    async def _round(self) -> None:
        """Gives out turns until everybody left is kept waiting by a limit."""
        awaited: set[str] = set()
        soonest = 0
        keys = deque(self._lines)
        while keys:
            key_id = keys.popleft()
            line = self._lines.get(key_id)
            if line is None:
                continue
            waiter = line[0]
            if any(allowance.id in awaited for allowance in waiter.allowances):
                continue
            try:
                standings = await self._limiter.take(waiter.allowances, waiter.costs, waiter.holder)
            except TollkeeperError as error:
                self._out(waiter, error)
                continue
            at = decisive(standings)
            wait = standings[at][2]
            if waiter.turn.done():
                if not wait:
                    self._give_back(waiter)
                keys.appendleft(key_id)
            elif wait:
                awaited.add(waiter.allowances[at].id)
                soonest = wait if wait > 0 and (wait < soonest or not soonest) else soonest
            else:
                waiter.turn.set_result(standings)
                self._remove(waiter)
                if key_id in self._lines:
                    self._lines.move_to_end(key_id)
                    keys.append(key_id)
        self._awaited = awaited
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest:
            self._timer = asyncio.get_running_loop().call_later(soonest / 1_000_000 + _TICK, self.wake)

    def _give_back(self, waiter: _Waiter) -> None:
        self._limiter.adjust(waiter.allowances, [-cost for cost in waiter.costs], waiter.holder)
        self.wake()

    def _out(self, waiter: _Waiter, error: TollkeeperError | None) -> None:
        if waiter.turn.done():
            return
        if error is None:
            waiter.turn.set_result(None)
        else:
            waiter.turn.set_exception(error)
        self._remove(waiter)

    def _remove(self, waiter: _Waiter) -> None:
        line = self._lines.get(waiter.key_id)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        self.count -= 1
        if not line:
            del self._lines[waiter.key_id]
        if not self._lines:
            self._awaited.clear()
        self.wake()
