"""An attempt whose caller is cancelled or leaves, at whatever moment, holds nothing for ever."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import pytest

from kit import calls
from kit.budgets import PRICE, TARGET, Desk
from kit.ledgers import Other, until
from kit.records import NOW
from tollkeeper.core.errors import ClientLeft
from tollkeeper.core.events import Hold
from tollkeeper.flow.sending import Sending
from tollkeeper.stores.sqlite.ledger import SqliteLedger


class Cancelling(SqliteLedger):
    """Cancels who waits for a hold: as soon as it is asked, or in the very turn of the loop in which it has got it."""

    late = False

    def hold(self, hold: Hold) -> Awaitable[None]:
        waiting = cast("asyncio.Future[None]", super().hold(hold))
        caller = asyncio.current_task()
        assert caller is not None
        if self.late:
            waiting.add_done_callback(lambda _: caller.cancel())
        else:
            asyncio.get_running_loop().call_soon(caller.cancel)
        return waiting


def made(ledger: SqliteLedger) -> Sending:
    nothing = cast("Any", None)  # it never comes to these
    return Sending(
        outbound=nothing,
        ledger=ledger,
        budgets=Desk().budgets,
        observe=lambda event: None,
        price_of=lambda *asked: PRICE,
        counting=nothing,
        departures=nothing,
        options=nothing,
        now=lambda: NOW / 1000,
        monotonic=lambda: 5.0,
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_caller_that_is_cancelled_while_it_waits_for_its_hold_leaves_none(tmp_path: Path, late: bool) -> None:
    async def go() -> None:
        ledger = Cancelling(tmp_path, lambda trouble: None)
        ledger.late = late
        sending = made(ledger)
        attempt = sending.attempt(calls.call(calls.key(), metered=False), TARGET, 1)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.ensure_future(sending.send(attempt))
        assert await until(30, lambda: ledger.rows >= 2)
        assert await ledger.close()

    asyncio.run(go())
    assert nothing_is_held(tmp_path)


def test_a_client_that_leaves_while_its_call_waits_for_its_hold_leaves_none(tmp_path: Path) -> None:
    async def go() -> None:
        ledger = SqliteLedger(tmp_path, lambda trouble: None)
        sending = made(ledger)
        call = calls.call(calls.key(), metered=False)
        asyncio.get_running_loop().call_soon(call.presence.leave)
        with pytest.raises(ClientLeft):
            await sending.send(sending.attempt(call, TARGET, 1))
        assert await until(30, lambda: ledger.rows >= 2)
        assert await ledger.close()

    asyncio.run(go())
    assert nothing_is_held(tmp_path)


def nothing_is_held(home: Path) -> bool:
    other = Other(home)
    found = other.counts()
    other.close()
    return found == (0, 0)
