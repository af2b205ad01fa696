"""Runs a job's rows by a provider's batch API: gathers them in parts, has each seen through, gathers what is left again.

Rule 1: only rows without a result are asked for again.
Rule 2: to stop is to look no more: batches go on at the provider, and a resume takes what they bring.
Rule 3: what rows may cost is set aside, on disk too, before they are sent; when a job goes on, again before anything else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tollkeeper.bulk import answers
from tollkeeper.bulk.batches.carrying import MISSING, Carrying, Rows, Way
from tollkeeper.bulk.batches.charging import Charging, supported
from tollkeeper.bulk.batches.parts import Parts, Row
from tollkeeper.bulk.batches.service import Part, Service
from tollkeeper.bulk.ending import Counts, Ending, unreadable
from tollkeeper.bulk.failures import HELD, Failure
from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.shaping import RowProblem, Shape
from tollkeeper.bulk.tries import Limits
from tollkeeper.core.account import Target
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import Clock, Randomness

_SPENT = frozenset((HELD, "budget_exceeded", "price_unknown", "model_not_found"))
_GROUPS = 16
"""Endpoints and models that parts are gathered for at one time."""


class _Asked(Struct):
    model: object


_model = msgspec.json.Decoder(_Asked).decode
_encode = msgspec.json.Encoder().encode


class Group:
    """Rows of one endpoint and one model on their way to a part."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.lines: list[bytes] = []
        self.bytes = 0


class Batching:
    """One job under way. `connect` is called before `run`; `run` is called once, and returns why it ended early."""

    def __init__(
        self,
        records: Iterator[Record],
        shape: Shape,
        journal: Journal,
        done: bytearray,
        limits: Limits,
        parts: Parts,
        *,
        kind: str,
        rows: int | None,
        check: answers.Check | None,
        now: Clock,
        random: Randomness,
        most: int = 16,
    ) -> None:
        self.counts = Counts()
        self.stopped: str | None = None
        """Why the job ended early."""
        self.concurrency = None
        self.left = False
        self.at_risk = 0
        self._records = records
        self._shape = shape
        self._journal = journal
        self._ends = Rows(done, Ending(journal, self.counts, limits.max_errors, now, self.stop))
        self._limits = limits
        self._parts = parts
        self._kind = kind
        self._rows = rows
        self._now = now
        self._random = random
        self._most = most
        self._stopping = asyncio.Event()
        self._ways: dict[tuple[str, str], Way] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._carrying = Carrying(
            parts, self._ends, self.counts, journal, check=check, stop=self.stop, stopping=self._stopping
        )
        self._number = 0

    @property
    def under_way(self) -> int:
        """Rows that are in batches."""
        return self._carrying.under_way

    def connect(
        self,
        charging: Charging,
        targets: Callable[[str], Sequence[Target]],
        serve: Callable[[Target], Service],
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        """Who pays, where models are, who runs batches for a target, and what waits between two looks at one."""
        self._carrying.charging = self._charging = charging
        self._carrying.pause = pause
        self._targets = targets
        self._serve = serve

    def stop(self, why: str) -> None:
        """Looks no more."""
        if self.stopped is None:
            self.stopped = why
        self._stopping.set()

    def abandon(self) -> None:
        self.stop("interrupted")

    async def run(self) -> str | None:
        """None when every row has ended; else why not. Raises GateError where the journal cannot be written."""
        carrying = self._carrying
        taken = await self._begin()
        try:
            await self._gather(taken)
            while self.stopped is None:
                await self._gather_left()
                await self._send_all()
                if not carrying.tasks:
                    break
                await carrying.one_ends()
        finally:
            self.left = bool(carrying.tasks or carrying.left)
            await carrying.cut()
        await self._journal.settled()
        return self.stopped

    def close(self) -> None:
        """Lets go of its files."""
        self._carrying.close()
        self._parts.close()

    async def _begin(self) -> frozenset[int]:
        """Goes on with the parts of an earlier run; their rows."""
        carrying = self._carrying
        self._number = self._parts.last()
        taken = frozenset(await carrying.away(lambda: set(self._parts.indexes())))
        unfinished = await carrying.away(self._parts.unfinished)
        held = True
        for part in unfinished:
            self._charging.take_up(part)
        for part in unfinished:
            way = self._way(part.path, part.model)
            for index, body in await carrying.bodies(part):
                try:
                    if not self._ends.ended(index):
                        await self._charging.reserve(index, part.path, part.model, way[0], body)
                except CallerError:
                    held = False  # the provider runs it in any case
            carrying.carry(part, way)
        while not held and carrying.tasks and self.stopped is None:
            await carrying.one_ends()  # what it costs must be known before anything is added to it
        return taken

    # --- rows become parts ------------------------------------------------------------------------------------------

    async def _gather(self, taken: frozenset[int]) -> None:
        for record in self._records:
            self.counts.drawn += 1
            if self.stopped is not None or self._journal.trouble is not None:
                return
            if record.index in taken or self._ends.ended(record.index):
                continue
            try:
                request = self._shape.request(record)
            except RowProblem as problem:
                self.counts.errors["invalid_row"] += 1
                broken, why = unreadable(record.index, problem)
                self._ends.finish(Row(broken.index, _encode(broken.id).decode(), 0, 0, None), error=why)
                continue
            row = Row(request.index, _encode(request.id).decode(), 0, 0, None)
            await self._add(request.path, str(_model(request.body).model), row, request.body)
            if self._carrying.left:
                await self._gather_left()
            if record.index % 1000 == 0:
                await asyncio.sleep(0)  # others get their turn

    async def _gather_left(self) -> None:
        """What parts have left is asked again, or ends where it has been asked often enough."""
        carrying = self._carrying
        while carrying.left and self.stopped is None:
            part, rows, said, blame = carrying.left.popleft()
            for index, body in await carrying.bodies(part):
                row = rows.get(index)
                if row is None:
                    continue
                why = said.get(index, MISSING)
                row = replace(row, attempts=row.attempts + blame)
                if row.attempts >= self._limits.attempts or row.bad >= self._limits.bad_answers:
                    self._ends.finish(row, error=why)
                else:
                    await self._add(part.path, part.model, row, body)
            await self._send_all()
            await self._journal.settled()
            if self.stopped is None:
                await carrying.end(part)

    async def _add(self, path: str, model: str, row: Row, body: bytes) -> None:
        """Puts a row into a part to come; sends the part first where it is full."""
        key = path, model
        try:
            target, service = self._way(path, model)
        except CallerError as error:
            self.stop(f"{error.code}: {error.message}")
            return
        try:
            size = len(service.line("x" * 48, path, body)) + 2  # what cannot be one is found out here
        except CallerError as error:
            self._ends.finish(row, error=Failure(error.type, error.status, error.code, error.message))
            return
        reserved = await self._reserved(row, path, model, target, body)
        if reserved is None:
            return
        group = self._groups.get(key)
        most = min(self._rows or service.most_rows, service.most_rows)
        if group is not None and (len(group.rows) >= most or group.bytes + size > service.most_bytes):
            await self._send(key)
            group = None
        if group is None:
            if len(self._groups) >= _GROUPS:
                await self._send(max(self._groups, key=lambda each: self._groups[each].bytes))
            group = self._groups[key] = Group()
        group.rows.append(row)
        group.lines.append(reserved)
        group.bytes += size

    async def _reserved(self, row: Row, path: str, model: str, target: Target, body: bytes) -> bytes | None:
        """The body to send; None where it is not to be sent now, or never."""
        while self.stopped is None:
            try:
                return await self._charging.reserve(row.index, path, model, target, body)
            except CallerError as error:
                if error.code == HELD:
                    await self._send_all()
                    if self._carrying.tasks:
                        await self._carrying.one_ends()
                        continue
                if error.code in _SPENT:
                    self.stop(f"{error.code}: {error.message}")
                else:
                    self._ends.finish(row, error=Failure(error.type, error.status, error.code, error.message))
                return None
        return None

    async def _send_all(self) -> None:
        for key in list(self._groups):
            await self._send(key)

    async def _send(self, key: tuple[str, str]) -> None:
        group = self._groups.pop(key)
        while len(self._carrying.tasks) >= self._most and self.stopped is None:
            await self._carrying.one_ends()
        if self.stopped is not None:
            return
        self._number += 1
        part = Part(
            number=self._number,
            token=f"tk{self._random(8).hex()}",
            path=key[0],
            model=key[1],
            rows=len(group.rows),
            planned_at=int(self._now()),
        )
        await self._carrying.away(lambda: self._parts.plan(part, group.rows, group.lines))
        self._carrying.carry(part, self._way(*key))

    def _way(self, path: str, model: str) -> Way:
        """Raises CallerError where no target of the model has that kind of batch API."""
        key = path, model
        way = self._ways.get(key)
        if way is None:
            target = supported(self._targets(model), self._kind)
            way = self._ways[key] = target, self._serve(target)
        return way
