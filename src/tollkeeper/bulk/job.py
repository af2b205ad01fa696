"""A job from its input file to its output file: what it is, whether it may go on, and what came of it."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from tollkeeper.bulk import answers, export, fingerprint, identifiers, part, reading
from tollkeeper.bulk.batches.parts import BEGUN, Parts
from tollkeeper.bulk.batches.running import Batching
from tollkeeper.bulk.journal import Journal, Totals
from tollkeeper.bulk.pacing import Pace
from tollkeeper.bulk.part import Part
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.running import Running
from tollkeeper.bulk.shaping import Shape
from tollkeeper.bulk.tries import Limits
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.ids import Clock

Ending = Literal["complete", "some_failed", "stopped", "interrupted"]


def journal_of(output: Path) -> Path:
    """The journal of the job that writes this output."""
    return output.with_name(output.name + ".journal")


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done. `about` is everything that makes its requests what they are, for the fingerprint."""

    input: Path | None
    """None: standard input, which can be read once only."""
    incoming: BinaryIO | None = None
    """What a new job is to find in `input`: standard input, which is read again for the output and for a resume."""
    output: Path
    shape: Shape
    about: dict[str, object]
    limits: Limits = Limits()
    rpm: float | None = None
    tpm: float | None = None
    input_format: str | None = None
    output_format: str | None = None
    sample: int | None = None
    """Only that many rows, the first ones."""
    escape: bool = False
    resume: bool = False
    retry_failed: bool = False
    batch: str | None = None
    """By the provider's batch API of this kind."""
    batch_rows: int | None = None
    """Rows in one batch, at most; None: as many as the provider takes."""
    force: bool = False
    """Go on although the job has changed; rows that have ended stay as they are."""

    @property
    def journal(self) -> Path:
        """Where the job's journal lies: beside the output."""
        return journal_of(self.output)

    @property
    def part(self) -> Path:
        """The part of the output that is ready while the job runs."""
        return self.output.with_name(self.output.name + ".part")


class Outcome(Struct, frozen=True):
    """How a run ended."""

    ending: Ending
    why: str | None
    totals: Totals
    rows: int
    """Rows in the output."""
    first_failure: str | None
    """Which row failed first in this run, and why."""
    at_risk: int
    """Rows that were under way when an earlier run of this job died: each may have been paid for twice."""


class Job:
    """One run of a plan. Made in the event loop; `running.ask` is set, then `run` is called once."""

    def __init__(
        self,
        plan: Plan,
        *,
        check: answers.Check | None,
        now: Clock,
        monotonic: Clock,
        uniform: Callable[[float, float], float],
        read: answers.Reading = answers.output,
    ) -> None:
        self.plan = plan
        self.kind = export.kind_of(plan.output, plan.output_format)
        self.at_risk = 0
        self.begun_before = 0
        """Rows that had ended before this run."""
        self.begun_well = 0
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="part")
        _refuse_surprises(plan)
        self.journal = Journal(plan.journal)
        self._begun = bool(self.journal.about())
        """Whether there is anything that must outlive a refusal."""
        self._kept_incoming = False
        try:
            self._admit()
            self._part = Part(plan.part, anew=plan.retry_failed or not self.begun_before)
            done = self.journal.done()
            given = (
                self.records((lambda index: index >= len(done) or not done[index]) if done else reading.every),
                plan.shape,
                self.journal,
                done,
                plan.limits,
            )
            self.running: Running | Batching
            if plan.batch is None:
                pace = Pace(rpm=plan.rpm, tpm=plan.tpm, now=monotonic(), uniform=uniform)
                self.running = Running(
                    *given, pace=pace, check=check, now=now, monotonic=monotonic, uniform=uniform, read=read
                )
            else:
                parts = Parts(self.journal, plan.output)
                self.running = Batching(
                    *given, parts, kind=plan.batch, rows=plan.batch_rows, check=check, now=now, random=os.urandom
                )
        except BaseException:
            self._close_journal()
            raise

    def records(self, wanted: reading.Wanted = reading.every) -> Iterator[Record]:
        """The input's rows, from the beginning; with values where they are wanted."""
        found = reading.records(self.plan.input, self.plan.input_format, wanted)
        return found if self.plan.sample is None else islice(found, self.plan.sample)

    def count(self) -> int:
        """How many rows there are, for showing. Blocking."""
        rows = reading.count(self.plan.input, self.plan.input_format) if self.plan.input is not None else 0
        return rows if self.plan.sample is None else min(rows, self.plan.sample)

    async def run(self) -> Outcome:
        """Asks every row that has no answer yet, then writes the output. Raises GateError where a disk refuses."""
        journal = self.journal
        loop = asyncio.get_running_loop()
        self._begun = True
        journal.note(open=str(self.running.at_risk))
        growing = loop.create_task(self._grow())
        try:
            why = await self.running.run()
        finally:
            growing.cancel()
            await asyncio.wait([growing])
        journal.note(open="0")
        self._reader.shutdown(wait=True)
        rows = await loop.run_in_executor(None, self._export)
        self._part.close(whole=True)
        totals = journal.totals()
        ending: Ending = "complete"
        if why is not None:
            ending = "interrupted" if why == "interrupted" else "stopped"
        elif totals.failed:
            ending = "some_failed"
        return Outcome(ending, why, totals, rows, self.running.counts.first_failure, self.at_risk)

    def close(self) -> None:
        """Lets go of the journal. A complete job keeps it: a second run then has nothing to ask.

        Of a job that was never begun nothing stays.
        """
        self._reader.shutdown(wait=True)
        self._part.close(whole=False)
        self.running.close()
        self._close_journal()

    def _close_journal(self) -> None:
        if not self._begun and self._kept_incoming and self.plan.input is not None:
            self.plan.input.unlink(missing_ok=True)
        self.journal.close(discard=not self._begun)

    async def _grow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(part.EVERY)
            try:
                await asyncio.shield(loop.run_in_executor(self._reader, self._part.grow, self.journal))
            except (OSError, sqlite3.Error):
                return  # it is for reading along; what must be written is the journal

    def _export(self) -> int:
        plan, journal, running = self.plan, self.journal, self.running
        if self.kind == "jsonl":  # its lines have no columns of the input
            if isinstance(running, Running) and running.rows is not None:
                return export.write_lines(plan.output, running.rows, journal.details())
            return export.write(plan.output, self.kind, export.joined(self.records(reading.none), journal.details()))
        alike = plan.input is not None and reading.alike(plan.input, plan.input_format)
        names = export.columns(self.records(), alike=alike)
        rows = export.joined(self.records(), journal.details())
        return export.write(plan.output, self.kind, rows, names, escape=plan.escape)

    def _admit(self) -> None:
        """Whether this is a new job, or the one that the journal knows. Raises CallerError."""
        plan, journal = self.plan, self.journal
        before = journal.about()
        begun = before.get("open", "0") != "0" or BEGUN in before
        if not plan.resume and not begun and not journal.totals().rows:
            before = {}  # a run that did not come to ask anything
        if not before:
            self._keep(self._incoming())
            self._refuse_repeated()
            self._note()
            return
        if not plan.resume:
            raise CallerError(
                f"{plan.journal} is there already, with {journal.totals().rows} rows answered. "
                "Go on with --resume, or delete it to begin anew.",
                status=409,
                code="job_exists",
            )
        incoming = self._incoming()
        try:
            changed = fingerprint.differences(before, plan.about, incoming or plan.input)
        except OSError as error:
            raise CallerError(f"{plan.input}: {error.strerror}.", code="input_unreadable") from None
        if changed and not plan.force:
            if incoming is not None:
                incoming.unlink()
            raise CallerError(
                "This is not the job that was begun:\n  " + "\n  ".join(changed) + "\nWith --force it goes on so.",
                status=409,
                code="job_changed",
            )
        self._keep(incoming)
        if before.get("input") != fingerprint.input_print(plan.input):
            self._refuse_repeated()  # what it has grown by may say an id again
        self._note()
        if plan.retry_failed:
            journal.forget_failed()
        self.at_risk = int(before.get("open", "0"))
        totals = journal.totals()
        self.begun_before, self.begun_well = totals.rows, totals.rows - totals.failed

    def _note(self) -> None:
        values = {name: msgspec.json.encode(value).decode() for name, value in self.plan.about.items()}
        self.journal.note(**values, input=fingerprint.input_print(self.plan.input))

    def _incoming(self) -> Path | None:
        """What came by standard input, whole, in a file that is not yet the job's; None where the job's own is to be read.

        A resume need not be given its prompts again: a terminal is not read, and nothing is as good as the same.
        """
        plan = self.plan
        if plan.incoming is None or plan.input is None:
            return None
        again = plan.resume and plan.input.exists()
        if again and plan.incoming.isatty():
            return None
        temporary = plan.input.with_name(f".{plan.input.name}.tmp")
        try:
            with temporary.open("wb") as stream:
                shutil.copyfileobj(plan.incoming, stream)
                size = stream.tell()
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise GateError(
                    f"{plan.input} cannot be written: {error.strerror}.", code="output_unwritable"
                ) from None
            raise
        if again and not size:
            temporary.unlink()
            return None
        return temporary

    def _keep(self, incoming: Path | None) -> None:
        """Makes it the job's own: never another job's, and never one that is under way."""
        plan = self.plan
        if incoming is None or plan.input is None:
            return
        try:
            incoming.replace(plan.input)
        except OSError as error:
            incoming.unlink(missing_ok=True)
            raise GateError(f"{plan.input} cannot be written: {error.strerror}.", code="output_unwritable") from None
        self._kept_incoming = True

    def _refuse_repeated(self) -> None:
        """Raises CallerError where two rows have one id."""
        plan = self.plan
        if plan.input is not None and not reading.may_name(plan.input, plan.input_format, identifiers.NAME):
            return
        repeated = identifiers.repeated(self.records())
        if repeated:
            raise CallerError(f"Ids are not unique: {'; '.join(repeated)}.", code="duplicate_custom_id")


def _refuse_surprises(plan: Plan) -> None:
    if plan.input is not None and plan.input.resolve() == plan.output.resolve():
        raise CallerError("The output cannot be the input.", status=409, code="output_exists")
    if plan.output.exists() and not plan.journal.exists():
        raise CallerError(
            f"{plan.output} is there already; choose another name or delete it.", status=409, code="output_exists"
        )
    if not plan.output.parent.is_dir():
        raise CallerError(f"There is no folder {plan.output.parent}.", status=503, code="output_unwritable")
