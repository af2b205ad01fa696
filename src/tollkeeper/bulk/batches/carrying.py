"""Sees a part through: from its file to a batch at the provider, and from what that brings to its rows' ends.

Rule 1: a part whose begin is unclear is looked for at the provider before it is begun again.
Rule 2: whatever a batch has brought is taken, however it ended; what it leaves is for others to ask again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from tollkeeper.bulk import answers
from tollkeeper.bulk.batches.charging import Charging
from tollkeeper.bulk.batches.parts import Parts, Row
from tollkeeper.bulk.batches.service import Part, Renamed, Result, Service, Unclear
from tollkeeper.bulk.ending import Counts, Ending
from tollkeeper.bulk.failures import PERHAPS_ITS_OWN, RATE, Failure, Verdict, bad_answer, failure, verdict
from tollkeeper.bulk.journal import Journal
from tollkeeper.bulk.shaping import Request
from tollkeeper.core.account import Target
from tollkeeper.core.errors import UpstreamError

T = TypeVar("T")
Way = tuple[Target, Service]
"""Where the rows of one endpoint and model go."""
_TOO_MUCH = frozenset(("token_limit_exceeded", "rate_limit_exceeded"))
"""Why a provider takes no further batch until others have ended."""
_LONG = 10
"""Looks that such a part waits."""
_TRIES = 5
MISSING = Failure("batch_result_missing", 0, "batch_result_missing", "The batch brought nothing for this row.")


class Left(NamedTuple):
    """What a part that is over leaves to be asked again: rows and what was wrong with each."""

    part: Part
    rows: dict[int, Row]
    said: dict[int, Failure]
    blame: int
    """1 where it counts as a try."""


class Rows:
    """Which rows of the job have ended, and how one ends."""

    def __init__(self, done: bytearray, end: Ending) -> None:
        self._done = done
        self._end = end

    def ended(self, index: int) -> bool:
        return index < len(self._done) and bool(self._done[index])

    def finish(self, row: Row, *, output: answers.Output | None = None, error: Failure | None = None) -> None:
        """The row has its answer or its error."""
        if row.index >= len(self._done):
            self._done.extend(bytes(row.index + 1 - len(self._done)))
        self._done[row.index] = 1 if error is None else 2
        request = Request(row.index, msgspec.json.decode(row.id), "", b"")
        self._end(request, row.attempts, row.cost, _nothing, output=output, error=error)


class Carrying:
    """The parts of one job that are under way. `stop` is called with the reason where the job cannot go on."""

    def __init__(
        self,
        parts: Parts,
        rows: Rows,
        counts: Counts,
        journal: Journal,
        *,
        check: answers.Check | None,
        stop: Callable[[str], None],
        stopping: asyncio.Event,
    ) -> None:
        self.charging: Charging
        """Who pays; set, as `pause` is, before a part is carried."""
        self.pause: Callable[[], Awaitable[None]]
        """What waits between two looks at a batch."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.left: deque[Left] = deque()
        self.under_way = 0
        """Rows that are in batches."""
        self._parts = parts
        self._rows = rows
        self._counts = counts
        self._journal = journal
        self._check = check
        self._stop = stop
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parts")

    def carry(self, part: Part, way: Way) -> None:
        """Begins to see the part through."""
        self.under_way += part.rows
        self.tasks.add(asyncio.get_running_loop().create_task(self._see_through(part, *way)))

    async def one_ends(self) -> None:
        """Returns when a part has ended, or the job is to stop. Raises what a part raises."""
        stop = asyncio.get_running_loop().create_task(self._stopping.wait())
        done, _ = await asyncio.wait([stop, *self.tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done & self.tasks:
            self.tasks.discard(task)
            task.result()

    async def cut(self) -> None:
        """Looks no more at what is under way."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    async def away(self, work: Callable[[], T]) -> T:
        """The parts' files and tables, off the loop and one piece of work at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def bodies(self, part: Part) -> list[tuple[int, bytes]]:
        """(index, body) of the part's rows."""
        return await self.away(lambda: list(self._parts.bodies(part)))

    async def end(self, part: Part) -> None:
        """All its rows have ended, or are in another part by now; or the provider has none of them."""
        await self.away(lambda: self._parts.end(part))
        self.charging.end(part)

    def close(self) -> None:
        """Returns when nothing is at work in the files any more."""
        self._thread.shutdown(wait=True)

    async def _see_through(self, part: Part, target: Target, service: Service) -> None:
        try:
            batch = part.batch or await self._submitted(part, target, service)
            part = replace(part, state="submitted", batch=batch)
            await self.away(lambda: self._parts.note(part))
            while not (standing := await service.look(batch)).over:
                await self.pause()
            if standing.failed is None:
                await self._take(part, target, service)
                return
            rows = await self.away(lambda: self._parts.rows(part))
            if standing.code in _TOO_MUCH:
                for _ in range(_LONG):
                    await self.pause()
                self._leave(Left(part, rows, {}, 0))
            elif standing.at_fault:
                places = [index for index, _ in await self.bodies(part)]
                for place, why in standing.at_fault:
                    row = rows.pop(places[place], None) if 0 <= place < len(places) else None
                    if row is not None:
                        self._counts.errors["invalid_row"] += 1
                        self.charging.release(row.index)
                        self._rows.finish(row, error=Failure("invalid_request_error", 400, standing.code, why))
                self._leave(Left(part, rows, {}, 1))
            else:
                await self.end(part)
                self._stop(f"{standing.code or 'batch_failed'}: {standing.failed}")
        except UpstreamError as error:
            self._stop(f"{error.code}: {error.message}")
        finally:
            self.under_way -= part.rows

    async def _submitted(self, part: Part, target: Target, service: Service) -> str:
        """The id of the part's batch, which is begun unless it may have been."""
        unclear = part.state == "submitting"
        while True:
            if unclear:
                found = await service.find(part, await self.away(self._parts.batches))
                if found is not None:
                    return found
            file = await self.away(lambda: self._rendered(part, service))
            try:
                rows = await self.away(lambda: self._parts.rows(part))
                await self.charging.dispatch(part, target, rows, file.stat().st_size)
                await self.away(lambda: self._parts.note(replace(part, state="submitting")))
                return await service.begin(part, file)
            except Unclear:
                unclear = True
            except UpstreamError as error:
                if error.status not in RATE:
                    self.charging.end(part)
                    raise
            finally:
                file.unlink(missing_ok=True)
            await self.pause()

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
        rows = await self.away(lambda: self._parts.rows(part))
        left = {index: row for index, row in rows.items() if not self._rows.ended(index)}
        said: dict[int, Failure] = {}
        renamed = await self.away(partial(self._renamed, part, service))
        for tries in count(1):
            try:
                async for result in service.results(part, part.batch, renamed):
                    index = part.index(result.custom_id)
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
                await self.pause()
        await self._journal.settled()
        for index in left:
            why = said.get(index, MISSING)
            self._counts.attempts += 1
            self._counts.errors[why.code or why.type] += 1
        self._leave(Left(part, left, said, 1))

    def _leave(self, left: Left) -> None:
        """Nobody runs these rows any more: what was set aside for them is free until they are asked again."""
        for index in left.rows:
            self.charging.release(index)
        self.left.append(left)

    def _judged(self, part: Part, target: Target, row: Row, result: Result) -> tuple[Row, Failure] | None:
        """None where the row has ended; else what is known of it now, and what was wrong."""
        if result.status == 0:
            return row, failure(0, result.body)
        cost = self.charging.settle(part, target, row.index, result)
        if cost is not None:
            self._counts.cost_nano += cost
            row = replace(row, cost=(row.cost or 0) + cost)
        if result.heard.reported is not None:
            usage = result.heard.reported.usage
            self._counts.tokens += usage.input_tokens + usage.output_tokens
        tried = replace(row, attempts=row.attempts + 1)
        if result.status < 300:
            try:
                found = answers.output(result.body, self._check)
            except answers.BadAnswer as bad:
                return replace(row, bad=row.bad + 1), bad_answer(result.status, bad)
            self._counts.attempts += 1
            self._rows.finish(tried, output=found)
            return None
        why = failure(result.status, result.body, result.request_id)
        if result.status not in PERHAPS_ITS_OWN and verdict(result.status, why.code, why.type) is not Verdict.ROW:
            return row, why
        self._counts.attempts += 1
        self._counts.errors[why.code or why.type] += 1
        self._rows.finish(tried, error=why)
        return None

    def _renamed(self, part: Part, service: Service) -> Renamed:
        """Equal ones are one object: a hundred thousand rows may well have the same tools."""
        shared: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        found: dict[int, dict[str, str]] = {}
        for index, body in self._parts.bodies(part):
            names = service.renamed(part.path, body)
            if names:
                found[index] = shared.setdefault(tuple(names.items()), dict(names))
        return found


def _nothing() -> None:
    return
