"""The ledger on DynamoDB: a hold and an event are one transaction each, with every budget that they fall under.

Rule 1: a hold is in the table, and in every purse, before `hold` returns: what is used, by whichever of many gates, never
        exceeds a budget that refuses.
Rule 2: an event, the end of its hold and what purses hold and have spent are one transaction; an attempt has one event.
Rule 3: nobody waits for an end, but `flush` does: a Lambda is frozen as soon as it has answered.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Sequence

import msgspec

from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.histogram import Histogram
from tollkeeper.core.usage import NOTHING
from tollkeeper.stores.dynamodb.purses import PurseOf, falls
from tollkeeper.stores.dynamodb.table import Cancelled, Item, Table

EVENTS = "event"
HOLDS = "hold"
_SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2.0)
_encode = msgspec.json.Encoder().encode

Refuse = Callable[[PurseOf, int, int, int], CallerError]
"""(purse, used, spent, asked for) -> what the caller is told."""


class DynamoLedger:
    """Implements `core.ports.Ledger`."""

    def __init__(
        self,
        table: Table,
        purses_of: Callable[[Hold | Event], Sequence[PurseOf]],
        refuse: Refuse,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._table = table
        self._purses_of = purses_of
        self._refuse = refuse
        self._on_trouble = on_trouble
        self._held: dict[tuple[str, int], tuple[Hold, Sequence[PurseOf]]] = {}
        self._nothing_held = asyncio.Event()
        self._nothing_held.set()
        self._writing: set[asyncio.Task[None]] = set()
        self.healthy = True
        """Whether the last transaction was made."""
        self.log_bytes = 0
        """There is no log."""
        self.sync_seconds = Histogram(_SECONDS)
        self.batch_rows = Histogram((1,))
        self.on_event: Callable[[Event], None] = _nobody

    @property
    def queued(self) -> int:
        """Ends that are being written."""
        return len(self._writing)

    async def hold(self, hold: Hold) -> None:
        """Raises CallerError where a budget has no room for it, GateError where the table cannot be asked."""
        purses = self._purses_of(hold)
        item: Item = {"pk": HOLDS, "sk": _name(hold), "d": _encode(hold).decode(), "x": hold.expires_at}
        parts = [self._table.put_part(item, fresh=True)]
        for purse in purses:
            need = purse.held(hold)
            most = {} if purse.budget.soft else {"used": purse.budget.amount - need}
            parts.append(self._table.add_part(purse.pk, purse.sk, {"used": need}, most))
        while True:
            try:
                await self._transact(parts, f"hold {_name(hold)}")
                break
            except Cancelled as cancelled:
                await self._mend(hold, purses, cancelled)
        self._held[hold.request_id, hold.attempt] = (hold, purses)
        self._nothing_held.clear()

    async def _mend(self, hold: Hold, purses: Sequence[PurseOf], cancelled: Cancelled) -> None:
        """Opens purses that are not there. Raises CallerError where one has no room."""
        (first, _), *others = cancelled.reasons
        if first == "ConditionalCheckFailed":
            raise GateError("This attempt is held already.", code="internal_error")
        for purse, (code, found) in zip(purses, others, strict=True):
            if code != "ConditionalCheckFailed":
                continue
            if found is None:
                found = await self._table.get(purse.pk, purse.sk)
            if found is not None and "used" in found:
                raise self._refuse(purse, int(found["used"]), int(found["spent"]), purse.held(hold))
            await self._open(purse)

    async def _open(self, purse: PurseOf) -> None:
        """Begins to count, from what the events say and, at its bound, what is under way and was not held in it."""
        asked = purse.slice
        holds = [msgspec.json.decode(str(item["d"]), type=Hold) for item in await self._table.query(HOLDS)]
        spent = sum(
            purse.spent(event)
            for event in await events_between(self._table, asked.start, asked.end)
            if falls(event, asked)
        )
        spent += sum(purse.held(hold) for hold in holds if falls(hold, asked))
        await self._table.put({"pk": purse.pk, "sk": purse.sk, "used": spent, "spent": spent}, fresh=True)

    def settle(self, event: Event, once: str | None = None, *, look: bool = False) -> None:
        hold, purses = self._let_go(event.request_id, event.attempt)
        self._write(self._settle(event, hold, purses, once, look))
        if once is None or not look:
            self.on_event(event)

    async def _settle(
        self, event: Event, hold: Hold | None, purses: Sequence[PurseOf], once: str | None, look: bool
    ) -> None:
        if once is not None:
            marked = await self._table.put({"pk": "charged", "sk": f"{event.provider}#{once}"}, fresh=True)
            if look and not marked:
                event = msgspec.structs.replace(event, usage=NOTHING, cost_nano=0, usage_raw=None, quality="counted")
        if hold is None:
            purses = self._purses_of(event)
        try:
            await self._end(event, hold, purses)
        except Cancelled as cancelled:
            if cancelled.reasons[0][0] == "ConditionalCheckFailed":
                return  # it has an event
            # A purse that was never opened has nothing of it to give back, and counts the event when it is opened.
            await self._end(event, hold, ())
        if once is not None and look:
            self.on_event(event)

    async def _end(self, event: Event, hold: Hold | None, purses: Sequence[PurseOf]) -> None:
        parts = [
            self._table.put_part(event_item(event), fresh=True),
            self._table.delete_part(HOLDS, _name(event)),
        ]
        for purse in purses:
            spent = purse.spent(event)
            used = spent - (purse.held(hold) if hold is not None else 0)
            if spent or used:
                parts.append(self._table.add_part(purse.pk, purse.sk, {"used": used, "spent": spent}, {}))
        await self._transact(parts, f"end {_name(event)} {len(parts)}")

    def release(self, request_id: str, attempt: int) -> None:
        hold, purses = self._let_go(request_id, attempt)
        if hold is not None:
            self._write(self._release(hold, purses))

    async def _release(self, hold: Hold, purses: Sequence[PurseOf]) -> None:
        back = [self._table.add_part(each.pk, each.sk, {"used": -each.held(hold)}, {}) for each in purses]
        await self._transact([self._table.delete_part(HOLDS, _name(hold)), *back], f"release {_name(hold)}")

    def _let_go(self, request_id: str, attempt: int) -> tuple[Hold | None, Sequence[PurseOf]]:
        found = self._held.pop((request_id, attempt), (None, ()))
        if not self._held:
            self._nothing_held.set()
        return found

    async def recover(self, recovered: Callable[[Hold], Event], now_ms: int) -> int:
        """Turns every hold that has expired into the event that `recovered` makes of it; returns how many."""
        count = 0
        for item in await self._table.query(HOLDS):
            if int(item["x"]) < now_ms:
                hold = msgspec.json.decode(str(item["d"]), type=Hold)
                await self._settle(recovered(hold), hold, self._purses_of(hold), None, False)
                count += 1
        return count

    async def settled(self, seconds: float) -> None:
        """Returns when all that is held here has ended, `seconds` from now at the latest, and is in the table."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nothing_held.wait(), seconds)
        await self.flush()

    async def flush(self) -> None:
        """Returns when all ends that were queued are in the table, or were given up."""
        while self._writing:
            await asyncio.wait(self._writing)

    async def close(self) -> bool:
        """False where an end could not be written: its hold is left, and `recover` finds it."""
        await self.flush()
        return self.healthy

    def _write(self, end: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._written(end))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _written(self, end: Coroutine[object, object, None]) -> None:
        try:
            await end
        except (GateError, Cancelled) as error:
            self._on_trouble(str(error))

    async def _transact(self, parts: Sequence[dict[str, object]], token: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            # A token has at most 36 characters.
            await self._table.transact(parts, hashlib.sha256(token.encode()).hexdigest()[:36])
        except GateError as error:
            if self.healthy:
                self.healthy = False
                self._on_trouble(error.message)
            raise
        self.sync_seconds.observe(loop.time() - began)
        self.batch_rows.observe(1)
        if not self.healthy:
            self.healthy = True
            self._on_trouble("")


async def events_between(table: Table, start: int, end: int) -> list[Event]:
    """All that began in [start, end) (Unix milliseconds), oldest first."""
    items = await table.query(EVENTS, f"{max(0, start):020d}", f"{max(0, end - 1):020d}~")
    return [msgspec.json.decode(str(item["d"]), type=Event) for item in items]


def event_item(event: Event) -> Item:
    return {"pk": EVENTS, "sk": f"{event.started_at:020d}#{_name(event)}", "d": _encode(event).decode()}


def _name(record: Hold | Event) -> str:
    return f"{record.request_id}:{record.attempt}"


def _nobody(event: Event) -> None:
    """Nobody wants to know."""
