"""Runs a job's rows: a bounded window of calls, new rows and due retries mixed, every row ended in the journal.

Rule 1: a slot is taken by a call and by nothing else: a row that waits for its next try holds none.
Rule 2: a row's slot is free again when its end is on disk, so that a crash costs at most `concurrency` calls.
Rule 3: rows in memory are bounded, whatever fails: new rows wait when too many old ones do.
Rule 4: when no other row is left to ask, none waits long where a third of the latest tries went well: it had bad luck.
Rule 5: calls are made by a few tasks, each of which takes one row after another: a task for a row costs as much as reading
        the row and its answer.
Rule 6: what no row can survive (a wrong key, a spent quota) ends the job, not the rows: they stay unanswered for a resume.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator

from tollkeeper.bulk import answers, failures
from tollkeeper.bulk.concurrency import Concurrency
from tollkeeper.bulk.ending import Counts, Ending, Ends, unreadable
from tollkeeper.bulk.failures import HELD, RATE, UNREACHED, Verdict, bad_answer, failure, verdict
from tollkeeper.bulk.pacing import Pace
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.shaping import Request, RowProblem, Shape
from tollkeeper.bulk.tries import Answer, Ask, Limits, Try
from tollkeeper.bulk.waiting import Waiting
from tollkeeper.core.ids import Clock
from tollkeeper.wire.rate_headers import NOTHING, Allowance

_BYTES_A_TOKEN = 4
_HOPELESS_IN_A_ROW = 20
_HOPELESS_LOOK = 200
_FEW = 10
"""Rows at the end of a job that may be refused each for itself."""
_SAID_NOTHING = Allowance()
_AT_ONCE = 2000
"""Rows that are passed over before others get their turn."""


class Running:
    """One job under way. `run` returns when every row has ended, or why it stopped before."""

    def __init__(
        self,
        records: Iterator[Record],
        shape: Shape,
        journal: Ends,
        done: bytearray,
        limits: Limits,
        *,
        pace: Pace,
        check: answers.Check | None,
        now: Clock,
        monotonic: Clock,
        uniform: Callable[[float, float], float],
        read: answers.Reading = answers.output,
    ) -> None:
        self.counts = Counts()
        self.concurrency = Concurrency(limits.concurrency)
        self.at_risk = limits.concurrency
        """Rows that a crash may cost a second time."""
        self.ask: Ask = _nobody
        """Who answers; set before `run`."""
        self.stopped: str | None = None
        """Why the job ended early."""
        self.left = False
        """Whether a call was left before its end: what it costs is known later, if at all."""
        self.under_way = 0
        self._records = records
        self._shape = shape
        self._journal = journal
        self._done = done
        self._limits = limits
        self._pace = pace
        self._check = check
        self._read = read
        self._end = Ending(journal, self.counts, limits.max_errors, now, self.stop).__call__  # as in flow/flow.py
        self._monotonic = monotonic
        self._waiting = Waiting(limits, monotonic, uniform)
        self._exhausted = False
        self._next: Try | None = None
        self._hopeless = 0
        self._answered = 0.0
        """When the latest call began that was answered well; 0: none was."""
        self._reached = False
        """Whether anybody was there in this run."""
        self._recent: deque[bool] = deque(maxlen=_HOPELESS_LOOK)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: list[asyncio.Future[tuple[Try, float, float]]] = []
        """Of the tasks that wait for a row."""
        self._filling = False

    async def run(self) -> str | None:
        """None when every row has ended; else why not. Raises GateError where the journal cannot be written."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._journal.on_trouble = self._fill  # rows that wait for the journal would wait for ever
        self._fill()
        try:
            await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        await self._journal.settled()
        return self.stopped

    def stop(self, why: str) -> None:
        """Begins nothing new; what is under way ends."""
        if self.stopped is None:
            self.stopped = why
        self._fill()

    def abandon(self) -> None:
        """Cuts what is under way, too; their rows stay unanswered."""
        self.stop("interrupted")
        for task in self._tasks:
            task.cancel()

    @property
    def rows(self) -> int | None:
        """How many the input has; None where it has not been read to its end."""
        return self.counts.drawn if self._exhausted else None

    def close(self) -> None:
        """Nothing of its own is left open."""

    # --- what comes next --------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Starts all that may start now; sees to it that somebody comes again when more may."""
        self._filling = False
        if self._ended.done():
            return
        if self._journal.trouble is not None:
            self._ended.set_result(None)
            return
        now = self._monotonic()
        while self.stopped is None and self.under_way < self.concurrency.window:
            found = self._due(now)
            if found is None:
                break
            tokens = len(found.request.body) / _BYTES_A_TOKEN
            delay = self._pace.delay(tokens, now)
            if delay > 0:
                self._next = found
                self._come_again(delay)
                break
            self._start(found, tokens, now)
        if self.under_way == 0 and (
            self.stopped is not None or not (self._next or self._waiting or not self._exhausted)
        ):
            self._ended.set_result(None)

    def _due(self, now: float) -> Try | None:
        found, self._next = self._next, None
        if found is not None:
            return found
        waiting = self._waiting
        if waiting.due_at <= now:
            return waiting.take()
        if not self._exhausted and not waiting.crowded:
            found = self._draw()
            if found is not None:
                return found
        if waiting.due_at < math.inf:
            self._come_again(waiting.due_at - now)
        elif self._exhausted or waiting.crowded:
            return waiting.take_aside()
        return None

    def _draw(self) -> Try | None:
        """The next row that is to be asked; rows that cannot be are ended here."""
        for passed, record in enumerate(self._records):
            self.counts.drawn += 1
            if passed == _AT_ONCE or self._journal.backlog > _AT_ONCE:
                self._come_again(0)
                return self._request(record)
            found = self._request(record)
            if found is not None or self._journal.trouble is not None or self.stopped is not None:
                return found
        self._exhausted = True
        self._waiting.bring_forward()
        return None

    def _request(self, record: Record) -> Try | None:
        if record.index < len(self._done) and self._done[record.index]:
            return None
        try:
            return Try(self._shape.request(record))
        except RowProblem as problem:
            self.counts.errors["invalid_row"] += 1
            row, error = unreadable(record.index, problem)
            self._end(row, 0, None, lambda: None, error=error)
            return None

    def _come_again(self, seconds: float) -> None:
        at = self._loop.time() + max(seconds, 0.0005)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at  # uvloop's handles of what is due at once do not tell
        self._timer = self._loop.call_at(at, self._timed)

    def _timed(self) -> None:
        self._timer = None  # a clock of whole milliseconds may say that it is still to come
        self._fill()

    # --- one call ---------------------------------------------------------------------------------------------------

    def _start(self, row: Try, tokens: float, now: float) -> None:
        self.under_way += 1
        if row.first_at is None:
            row.first_at = now
        row.attempts += 1
        self.counts.attempts += 1
        self._pace.start(tokens, now)
        row.started, row.tokens_started = self._pace.started - 1, self._pace.tokens_started
        while self._turns:
            turn = self._turns.pop()
            if not turn.done():  # as those are whose task was cancelled
                turn.set_result((row, tokens, now))
                return
        task = self._loop.create_task(self._asking(row, tokens, now))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._ended.done():
            self._ended.set_exception(error)  # a defect of ours: better told than waited for without end
        elif not self._tasks and self.stopped is not None and not self._ended.done():
            self._ended.set_result(None)  # a task that is cut before it began what it was given says nothing of it

    async def _asking(self, row: Try, tokens: float, sent_at: float) -> None:
        """One row after another."""
        while True:
            try:
                if self._limits.timeout is None:
                    answer = await self.ask(row.request, row.attempts + row.rated)
                else:
                    answer = await self._in_time(self._limits.timeout, row)
            except asyncio.CancelledError:
                self.left = True
                self._free()
                raise
            self._heard(row, answer, tokens, sent_at)
            del row, answer
            if self._journal.backlog >= self.under_way:
                self._journal.hasten()
            self._turns.append(turn := self._loop.create_future())
            row, tokens, sent_at = await turn
            del turn

    async def _in_time(self, seconds: float, row: Try) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return await self.ask(row.request, row.attempts + row.rated)
        except TimeoutError:
            self.left = True
            message = f"no answer within {seconds:g} s"
            return Answer(0, b'{"error":{"message":"%b","type":"timeout","code":"timeout"}}' % message.encode())

    def _heard(self, row: Try, answer: Answer, tokens: float, sent_at: float) -> None:
        now = self._monotonic()
        if answer.rates is not NOTHING:
            self._pace.heard(
                answer.rates.requests or _SAID_NOTHING,
                answer.rates.tokens or answer.rates.input_tokens or _SAID_NOTHING,
                row.started,
                row.tokens_started,
                now,
            )
        if answer.tokens_used is not None:
            self.counts.tokens += answer.tokens_used
            self._pace.settle(tokens, answer.tokens_used, now)
        if answer.cost_nano is not None:
            row.cost = (row.cost or 0) + answer.cost_nano
            self.counts.cost_nano += answer.cost_nano
        self._judge(row, answer, sent_at, now)

    def _judge(self, row: Try, answer: Answer, sent_at: float, now: float) -> None:
        if 200 <= answer.status < 300:
            self._reached = True
            try:
                found = self._read(answer.body, self._check)
            except answers.BadAnswer as bad:
                row.bad += 1
                row.failure = bad_answer(answer.status, bad, answer.request_id)
                self.concurrency.failed(sent_at)
                self._again(row, Verdict.AGAIN if row.bad < self._limits.bad_answers else Verdict.ROW, now, None)
                return
            self._waiting.fares.append(True)
            self._pace.answered(False, now)
            self.counts.seconds.append(now - sent_at)
            self._hopeless = 0
            self._answered = max(self._answered, sent_at)
            self._recent.append(False)
            if row.attempts == 1:
                self.concurrency.succeeded(sent_at, self.under_way)
            self._end(row.request, row.attempts, row.cost, self._free, output=found)
            return
        said = row.failure = failure(answer.status, answer.body, answer.request_id)
        found_verdict = verdict(answer.status, said.code, said.type)
        if said.code not in UNREACHED:
            self._reached = True
        elif not self._reached:
            found_verdict = Verdict.JOB  # nobody was ever there: no row is to blame
        if found_verdict is Verdict.JOB and self._only_this(row, answer.status, now):
            found_verdict = Verdict.ROW
        if said.code == HELD:  # no provider's word: there is room as soon as a call has ended
            self.concurrency.throttled(sent_at, now)
            self._again(row, found_verdict, now, None)
            return
        self._pace.answered(answer.status in RATE, now)
        if found_verdict is Verdict.RATE:
            self.concurrency.throttled(sent_at, now)
            if answer.rates.retry_after is not None:
                self._pace.wait(answer.rates.retry_after, now)
        elif found_verdict is Verdict.AGAIN:
            self.concurrency.failed(sent_at)
        self._again(row, found_verdict, now, answer.rates.retry_after)

    def _only_this(self, row: Try, status: int, now: float) -> bool:
        """Whether a refusal is the row's alone: a call that began after it had been refused before was answered.

        Where nothing is left to begin, it is enough of what is not there (404), or forbidden to a few, that others were.
        """
        if status not in failures.PERHAPS_ITS_OWN:
            return False
        if row.refused_at is None:
            row.refused_at = now
        left = self.under_way + len(self._waiting)
        own = status == 404 or left <= _FEW
        at_the_end = own and self._exhausted and self._hopeless >= _HOPELESS_IN_A_ROW - 1
        return self._answered > (0.0 if at_the_end else row.refused_at)

    def _again(self, row: Try, found: Verdict, now: float, retry_after: float | None) -> None:
        """A try has failed: the row waits for its next, or ends."""
        said = row.failure
        assert said is not None
        self._waiting.fares.append(False)
        self.counts.errors[said.code or said.type] += 1
        if found is Verdict.JOB:
            self._hopeless += 1
            self._recent.append(True)
            row.attempts -= 1  # the row is not to blame
            self._waiting.put(row, now, 1)
            if self._hopeless >= _HOPELESS_IN_A_ROW or self._mostly_hopeless():
                self.stop(f"{said.code or said.type}: {said.message}")
            self._free()
            return
        if found is Verdict.RATE:
            row.rated += 1
            row.attempts -= 1
            assert row.first_at is not None
            if now - row.first_at < self._limits.patience:
                tries = 0 if said.code == HELD else row.rated
                self._waiting.put(row, now, tries, retry_after, most=self._limits.rate_cap)
            elif not row.parked:
                self._waiting.put_aside(row)
            else:
                found = Verdict.ROW
        elif found is Verdict.AGAIN:
            if row.attempts < self._limits.attempts:
                self._waiting.put(row, now, row.attempts, retry_after)
            else:
                found = Verdict.ROW
        if found is Verdict.ROW:
            self._recent.append(True)
            if self._mostly_hopeless():
                self.stop(f"more than half of the last {_HOPELESS_LOOK} rows failed, the last with: {said.message}")
            self._end(row.request, row.attempts + row.rated, row.cost, self._free, error=said)
        else:
            self._free()

    def _mostly_hopeless(self) -> bool:
        return len(self._recent) == _HOPELESS_LOOK and sum(self._recent) * 2 > _HOPELESS_LOOK

    def _free(self) -> None:
        self.under_way -= 1
        if not self._filling:
            self._filling = True
            self._loop.call_soon(self._fill)  # once for all that end in this moment


async def _nobody(request: Request, attempt: int) -> Answer:
    raise AssertionError("nobody was set to answer")
