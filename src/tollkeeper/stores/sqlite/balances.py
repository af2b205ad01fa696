"""What was spent, by the ledger: sums of events, exact to the event whatever is being written meanwhile. Reads only."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tollkeeper.core.budget import Slice, Spent
from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event, Hold
from tollkeeper.stores.sqlite import database
from tollkeeper.stores.sqlite.holds import open_holds
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.reports import raised
from tollkeeper.stores.sqlite.sums import EVER, Span, sums_query

_COLUMNS = {"key": "key_id", "owner": "owner", "team": "team"}
_HOUR = 3_600_000
_ALL: dict[Span | None, str] = {None: "1", "hour": "1", "day": "1", "month": "1"}


class SqliteBalances:
    """Implements `core.ports.Balances`. One per ledger, used from its event loop.

    The cut is a moment between two of the ledger's transactions: what is on disk then is in the snapshot that begins
    there, what is not is in the ledger's memory, and nothing is in both.
    """

    def __init__(self, home: Path, ledger: SqliteLedger) -> None:
        self._home = home
        self._ledger = ledger
        self._database: sqlite3.Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    async def spent(self, slices: Sequence[Slice], at_cut: Callable[[], None]) -> list[Spent]:
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            try:
                if self._database is None:
                    self._database = await loop.run_in_executor(None, database.connect, self._home)
                    self._database.execute("PRAGMA query_only = ON")
                reader = self._database
                unwritten = await self._cut(reader, at_cut)
                try:
                    sums = await loop.run_in_executor(None, lambda: [summed(reader, each) for each in slices])
                finally:
                    reader.execute("COMMIT")
            except sqlite3.Error as error:
                self.close()
                raise raised(error) from None
        return [_with(found, each, unwritten) for found, each in zip(sums, slices, strict=True)]

    async def _cut(self, reader: sqlite3.Connection, at_cut: Callable[[], None]) -> list[Event]:
        made: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()

        def cut(unwritten: list[Event] | None) -> None:
            if unwritten is None:
                made.set_exception(GateError("The ledger cannot be written, so what was spent is not known."))
                return
            try:
                reader.execute("BEGIN")
                reader.execute("SELECT 1 FROM events LIMIT 1").fetchone()  # a snapshot begins with its first read
            except sqlite3.Error as error:
                made.set_exception(error)
                return
            at_cut()
            made.set_result(unwritten)

        self._ledger.at_rest(cut)
        return await made


def spent_and_held(home: Path, slices: Sequence[Slice]) -> list[tuple[Spent, Spent]]:
    """What is on disk at one moment, for whoever looks from outside. Raises GateError."""
    reader = database.connect(home, create=False)
    try:
        reader.execute("PRAGMA query_only = ON")
        reader.execute("BEGIN")
        holds = open_holds(reader)
        return [(summed(reader, each), _held(holds, each)) for each in slices]
    except sqlite3.Error as error:
        raise raised(error) from None
    finally:
        reader.close()


def _held(holds: Iterable[Hold], asked: Slice) -> Spent:
    among = [hold for hold in holds if _falls(hold, asked)]
    return Spent(sum(hold.held_nano or 0 for hold in among), sum(hold.held_tokens or 0 for hold in among))


def summed(reader: sqlite3.Connection, asked: Slice) -> Spent:
    """The sums of one slice, of what is on disk. Where only sums of hours are left of its ends, those hours count whole."""
    [(kept_from,)] = reader.execute("SELECT kept_from FROM detail")
    start = asked.start if asked.start >= kept_from else asked.start - asked.start % _HOUR
    end = asked.end if asked.end >= kept_from else asked.end + -asked.end % _HOUR
    where = "1" if asked.scope == "all" else f"x.{_COLUMNS[asked.scope]} = :of"
    stretch = (start, min(end, EVER[1]))
    text, values = sums_query(_ALL, ("cost_nano", "input_tokens", "output_tokens"), stretch, where)
    found = reader.execute(text, {**values, "of": asked.of}).fetchone()
    return Spent() if found is None else Spent(found[1], found[2] + found[3])


def _with(found: Spent, asked: Slice, unwritten: Iterable[Event]) -> Spent:
    nano, tokens = found.nano, found.tokens
    for event in unwritten:
        if _falls(event, asked):
            nano += event.cost_nano or 0
            tokens += event.usage.input_tokens + event.usage.output_tokens
    return Spent(nano, tokens)


def _falls(record: Event | Hold, asked: Slice) -> bool:
    of = {"all": None, "team": record.team, "owner": record.owner, "key": record.key_id}[asked.scope]
    return asked.start <= record.started_at < asked.end and asked.of == of
