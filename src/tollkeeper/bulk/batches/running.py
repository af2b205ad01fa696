"""Runs a job's rows by a provider's batch API: gathers them in parts, sees each part through, gathers what is left again.

Rule 1: a part whose begin is unclear is looked for at the provider before it is begun again.
Rule 2: whatever a batch has brought is taken, however it ended; only rows without a result are asked for again.
Rule 3: to stop is to look no more: batches go on at the provider, and a resume takes what they bring.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tollkeeper.bulk import answers
from tollkeeper.bulk.batches.charging import Charging, supported
from tollkeeper.bulk.batches.parts import Parts, Row
from tollkeeper.bulk.batches.service import Part, Result, Service, Unclear
from tollkeeper.bulk.failures import HELD, RATE, Failure, Verdict, failure, verdict
from tollkeeper.bulk.journal import Finished, Journal
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.results import result_line
from tollkeeper.bulk.running import Counts, Limits
from tollkeeper.bulk.shaping import Request, RowProblem, Shape
from tollkeeper.core.account import Target
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.core.ids import Clock, Randomness

T = TypeVar("T")
_TOO_MUCH = frozenset(("token_limit_exceeded", "rate_limit_exceeded"))
"""Why a provider takes no further batch until others have ended."""
_SPENT = frozenset((HELD, "budget_exceeded", "price_unknown", "model_not_found"))
_LONG = 10
"""Looks that such a part waits."""
_TRIES = 5
_GROUPS = 16
"""Endpoints and models that parts are gathered for at one time."""
_MISSING = Failure("batch_result_missing", 0, "batch_result_missing", "The batch brought nothing for this row.")


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


class Left(NamedTuple):
    """What a part that is over leaves to be asked again: rows and what was wrong with each."""

    part: Part
    rows: dict[int, Row]
    said: dict[int, Failure]
    blame: int
    """1 where it counts as a try."""


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
        self.under_way = 0
        """Rows that are in batches."""
        self.concurrency = None
        self.left = False
        self.at_risk = 0
        self._records = records
        self._shape = shape
        self._journal = journal
        self._done = done
        self._limits = limits
        self._parts = parts
        self._kind = kind
        self._rows = rows
        self._check = check
        self._now = now
        self._random = random
        self._most = most
        self._stop = asyncio.Event()
        self._ways: dict[tuple[str, str], tuple[Target, Service]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._left: deque[Left] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parts")

    def connect(
        self,
        charging: Charging,
        targets: Callable[[str], Sequence[Target]],
        serve: Callable[[Target], Service],
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        """Who pays, where models are, who runs batches for a target, and what waits between two looks at one."""
        self._pause = pause
        self._charging = charging
        self._targets = targets
        self._serve = serve

    def stop(self, why: str) -> None:
        """Looks no more."""
        if self.stopped is None:
            self.stopped = why
        self._stop.set()

    def abandon(self) -> None:
        self.stop("interrupted")

    async def run(self) -> str | None:
        """None when every row has ended; else why not. Raises GateError where the journal cannot be written."""
        taken = await self._begin()
        try:
            await self._gather(taken)
            while self.stopped is None:
                await self._gather_left()
                await self._send_all()
                if not self._tasks:
                    break
                await self._one_ends()
        finally:
            self.left = bool(self._tasks or self._left)
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        await self._journal.settled()
        return self.stopped

    def close(self) -> None:
        """Lets go of its files."""
        self._thread.shutdown(wait=True)
        self._parts.close()

    async def _begin(self) -> frozenset[int]:
        """Goes on with the parts of an earlier run; their rows."""
        self._number = self._parts.last()
        taken = frozenset(await self._away(lambda: set(self._parts.indexes())))
        for part in await self._away(self._parts.unfinished):
            self._carry(part)
            target, _ = self._ways[part.path, part.model]
            try:
                for index, body in await self._away(partial(self._bodies, part)):
                    if not self._ended(index):
                        await self._charging.reserve(index, part.path, part.model, target, body)
            except CallerError:
                continue  # the provider runs them in any case
        return taken

    # --- rows become parts ------------------------------------------------------------------------------------------

    async def _gather(self, taken: frozenset[int]) -> None:
        for record in self._records:
            self.counts.drawn += 1
            if self.stopped is not None or self._journal.trouble is not None:
                return
            if record.index in taken or self._ended(record.index):
                continue
            try:
                request = self._shape.request(record)
            except RowProblem as problem:
                self.counts.errors["invalid_row"] += 1
                row = Row(record.index, _encode(problem.id).decode(), 0, 0, None)
                self._finish(row, error=Failure("invalid_request_error", 0, "invalid_row", problem.message))
                continue
            row = Row(request.index, _encode(request.id).decode(), 0, 0, None)
            await self._add(request.path, str(_model(request.body).model), row, request.body)
            if self._left:
                await self._gather_left()
            if record.index % 1000 == 0:
                await asyncio.sleep(0)  # others get their turn

    async def _gather_left(self) -> None:
        """What parts have left is asked again, or ends where it has been asked often enough."""
        while self._left and self.stopped is None:
            part, rows, said, blame = self._left.popleft()
            for index, body in await self._away(partial(self._bodies, part)):
                row = rows.get(index)
                if row is None:
                    continue
                why = said.get(index, _MISSING)
                row = replace(row, attempts=row.attempts + blame)
                self._charging.release(index)
                if row.attempts >= self._limits.attempts or row.bad >= self._limits.bad_answers:
                    self._finish(row, error=why)
                else:
                    await self._add(part.path, part.model, row, body)
            await self._send_all()
            await self._journal.settled()
            if self.stopped is None:
                await self._away(partial(self._parts.end, part))

    async def _add(self, path: str, model: str, row: Row, body: bytes) -> None:
        """Puts a row into a part to come; sends the part first where it is full."""
        key = path, model
        try:
            way = self._ways.get(key)
            if way is None:
                target = supported(self._targets(model), self._kind)
                way = self._ways[key] = target, self._serve(target)
        except CallerError as error:
            self.stop(f"{error.code}: {error.message}")
            return
        target, service = way
        try:
            size = len(service.line("x" * 48, path, body)) + 2  # what cannot be one is found out here
        except CallerError as error:
            self._finish(row, error=Failure(error.type, error.status, error.code, error.message))
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
                    if self._tasks:
                        await self._one_ends()
                        continue
                if error.code in _SPENT:
                    self.stop(f"{error.code}: {error.message}")
                else:
                    self._finish(row, error=Failure(error.type, error.status, error.code, error.message))
                return None
        return None

    async def _send_all(self) -> None:
        for key in list(self._groups):
            await self._send(key)

    async def _send(self, key: tuple[str, str]) -> None:
        group = self._groups.pop(key)
        while len(self._tasks) >= self._most and self.stopped is None:
            await self._one_ends()
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
        await self._away(lambda: self._parts.plan(part, group.rows, group.lines))
        self._carry(part)

    # --- a part, from its file to its rows' ends --------------------------------------------------------------------

    def _carry(self, part: Part) -> None:
        self.under_way += part.rows
        key = part.path, part.model
        if key not in self._ways:
            target = supported(self._targets(part.model), self._kind)
            self._ways[key] = target, self._serve(target)
        self._tasks.add(asyncio.get_running_loop().create_task(self._see_through(part, *self._ways[key])))

    async def _one_ends(self) -> None:
        """Returns when a part has ended, or the job is to stop. Raises what a part raises."""
        stop = asyncio.get_running_loop().create_task(self._stop.wait())
        done, _ = await asyncio.wait([stop, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done & self._tasks:
            self._tasks.discard(task)
            task.result()

    async def _see_through(self, part: Part, target: Target, service: Service) -> None:
        try:
            batch = part.batch or await self._submitted(part, service)
            part = replace(part, state="submitted", batch=batch)
            await self._away(lambda: self._parts.note(part))
            while not (standing := await service.look(batch)).over:
                await self._pause()
            if standing.failed is None:
                await self._take(part, target, service)
                return
            rows = await self._away(lambda: self._parts.rows(part))
            if standing.code in _TOO_MUCH:
                for _ in range(_LONG):
                    await self._pause()
                self._left.append(Left(part, rows, {}, 0))
            elif standing.at_fault:
                places = [index for index, _ in await self._away(partial(self._bodies, part))]
                for place, why in standing.at_fault:
                    row = rows.pop(places[place], None) if 0 <= place < len(places) else None
                    if row is not None:
                        self.counts.errors["invalid_row"] += 1
                        self._charging.release(row.index)
                        self._finish(row, error=Failure("invalid_request_error", 400, standing.code, why))
                self._left.append(Left(part, rows, {}, 1))
            else:
                await self._away(lambda: self._parts.end(part))
                self.stop(f"{standing.code or 'batch_failed'}: {standing.failed}")
        except UpstreamError as error:
            self.stop(f"{error.code}: {error.message}")
        finally:
            self.under_way -= part.rows

    async def _submitted(self, part: Part, service: Service) -> str:
        """The id of the part's batch, which is begun unless it may have been."""
        unclear = part.state == "submitting"
        while True:
            if unclear:
                found = await service.find(part, await self._away(self._parts.batches))
                if found is not None:
                    return found
            file = await self._away(lambda: self._rendered(part, service))
            try:
                await self._away(lambda: self._parts.note(replace(part, state="submitting")))
                return await service.begin(part, file)
            except Unclear:
                unclear = True
            except UpstreamError as error:
                if error.status not in RATE:
                    raise
            finally:
                file.unlink(missing_ok=True)
            await self._pause()

    def _rendered(self, part: Part, service: Service) -> Path:
        """The part as the provider takes it, in a file of its own."""
        file = self._parts.file(part).with_suffix(".upload")
        framing = service.framing(part)
        with file.open("wb") as stream:
            stream.write(framing.before)
            for number, (index, body) in enumerate(self._parts.bodies(part)):
                stream.write(framing.between if number else b"")
                stream.write(service.line(f"{part.token}-{index}", part.path, body))
            stream.write(framing.after)
        return file

    async def _take(self, part: Part, target: Target, service: Service) -> None:
        """Ends the rows that have a result; those that have none, or a bad one, are left."""
        assert part.batch is not None
        rows = await self._away(lambda: self._parts.rows(part))
        left = {index: row for index, row in rows.items() if not self._ended(index)}
        said: dict[int, Failure] = {}
        for tries in count(1):
            try:
                async for result in service.results(part, part.batch):
                    index = _index(part, result.custom_id)
                    row = left.get(index)
                    if row is not None and index not in said:  # else nobody's, or there already
                        kept = self._judged(part, target, row, result)
                        if kept is None:
                            del left[index]
                        else:
                            left[index], said[index] = kept
                break
            except UpstreamError:  # what has come is kept; the file is read again for the rest
                if tries == _TRIES:
                    raise
                await self._pause()
        await self._journal.settled()
        for index in left:
            why = said.get(index, _MISSING)
            self.counts.attempts += 1
            self.counts.errors[why.code or why.type] += 1
        self._left.append(Left(part, left, said, 1))

    def _judged(self, part: Part, target: Target, row: Row, result: Result) -> tuple[Row, Failure] | None:
        """None where the row has ended; else what is known of it now, and what was wrong."""
        if result.status == 0:
            return row, failure(0, result.body)
        cost = self._charging.settle(part, target, row.index, result)
        if cost is not None:
            self.counts.cost_nano += cost
            row = replace(row, cost=(row.cost or 0) + cost)
        if result.heard.reported is not None:
            usage = result.heard.reported.usage
            self.counts.tokens += usage.input_tokens + usage.output_tokens
        tried = replace(row, attempts=row.attempts + 1)
        if result.status < 300:
            try:
                found = answers.output(result.body, self._check)
            except answers.BadAnswer as bad:
                return replace(row, bad=row.bad + 1), Failure("bad_answer", result.status, "bad_answer", str(bad)[:500])
            self.counts.attempts += 1
            self._finish(tried, output=found)
            return None
        why = failure(result.status, result.body, result.request_id)
        if verdict(result.status, why.code, why.type) is not Verdict.ROW:
            return row, why
        self.counts.attempts += 1
        self.counts.errors[why.code or why.type] += 1
        self._finish(tried, error=why)
        return None

    # --- ends -------------------------------------------------------------------------------------------------------

    def _ended(self, index: int) -> bool:
        return index < len(self._done) and bool(self._done[index])

    def _finish(self, row: Row, *, output: answers.Output | None = None, error: Failure | None = None) -> None:
        if row.index >= len(self._done):
            self._done.extend(bytes(row.index + 1 - len(self._done)))
        self._done[row.index] = 1 if error is None else 2
        if error is None:
            self.counts.well += 1
        else:
            self.counts.failed += 1
            most = self._limits.max_errors
            if most is not None and self.counts.failed > most:
                self.stop(f"more than {most} rows failed")
        request = Request(row.index, msgspec.json.decode(row.id), "", b"")
        self._journal.put(
            Finished(
                index=row.index,
                failed=error is not None,
                attempts=row.attempts,
                cost_nano=row.cost,
                ended_at=int(self._now() * 1000),
                detail=result_line(request, row.attempts, row.cost, output, error),
            ),
            _written,
        )

    def _bodies(self, part: Part) -> list[tuple[int, bytes]]:
        return list(self._parts.bodies(part))

    async def _away(self, work: Callable[[], T]) -> T:
        """The parts' files and tables, off the loop and one piece of work at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _index(part: Part, custom_id: str) -> int:
    """The row that a result is of; -1 where it is not of this part."""
    token, _, index = custom_id.rpartition("-")
    return int(index) if token == part.token and index.isascii() and index.isdigit() else -1


def _written() -> None:
    return
