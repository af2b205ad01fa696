"""Files and batches that the gate keeps and runs itself, for models whose provider has no batch API.

Rule 1: what a caller was told is on disk before; a batch that was under way goes on when the gate starts again.
Rule 2: a batch is a job of this room (journal, retries, limits found) whose rows are calls of the key that began it.
Rule 3: what one tenant has made is not there for another.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tollkeeper.bulk import answers
from tollkeeper.bulk.failures import Failure
from tollkeeper.bulk.job import Job, Outcome, Plan, journal_of
from tollkeeper.bulk.shaping import Request, Shape
from tollkeeper.bulk.tries import Answer, Limits
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.keys import Key

FILE, BATCH = "file-tk", "batch_tk"
"""How our own ids begin."""
ENDPOINTS = frozenset(("chat/completions", "completions", "embeddings", "responses", "moderations"))
_DAY = 86_400
_UNDER_WAY = frozenset(("validating", "in_progress", "finalizing", "cancelling"))
_CLOSING = 10.0
"""Seconds that calls under way have to end when the gate stops."""
Ask = Callable[[Key, Request, int], Awaitable[Answer]]
"""(whose call, request, attempt) -> answer."""


class File(Struct, kw_only=True):
    """https://platform.openai.com/docs/api-reference/files/object; `key` and `tenant` are ours."""

    id: str
    object: str = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "processed"
    key: str | None = None
    tenant: str | None = None


class Counts(Struct):
    """Rows of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(Struct, kw_only=True):
    """https://platform.openai.com/docs/api-reference/batch/object; `key` and `tenant` are ours."""

    id: str
    object: str = "batch"
    endpoint: str
    errors: dict[str, Any] | None = None
    input_file_id: str
    completion_window: str = "24h"
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    metadata: dict[str, str] | None = None
    key: str | None = None
    tenant: str | None = None


class _Detail(Struct):
    id: str | int | None
    output: Raw
    error: Failure | None


_detail = msgspec.json.Decoder(_Detail).decode
_encode = msgspec.json.Encoder().encode


class Served:
    """All files and batches of one home. Made in the event loop that serves them."""

    def __init__(
        self,
        folder: Path,
        ask: Ask,
        key_of: Callable[[str], Key | None],
        new_id: Callable[[], str],
        uniform: Callable[[float, float], float],
        on_trouble: Callable[[str, str], None],
        *,
        concurrency: int,
        running: int,
        keep_days: int,
    ) -> None:
        self.folder = folder
        self._ask = ask
        self._key_of = key_of
        self._new_id = new_id
        self._uniform = uniform
        self._on_trouble = on_trouble
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(running)
        self._files: dict[str, File] = {}
        self._batches: dict[str, Batch] = {}
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing = False
        self._read(keep_days * _DAY)

    def start(self) -> None:
        """Goes on with what was under way."""
        for batch in self._batches.values():
            if batch.status in _UNDER_WAY:
                self._begin(batch)

    async def close(self) -> None:
        """Ends calls under way, or leaves them; what has no answer is asked after the next start."""
        self._closing = True
        for job in self._jobs.values():
            job.running.stop("interrupted")
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSING)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)

    @property
    def used(self) -> bool:
        """Whether anybody has files here."""
        return bool(self._files)

    # --- files ------------------------------------------------------------------------------------------------------

    def new_path(self) -> Path:
        """Where a file that is not yet ours may be written."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return self.folder / f"{self._new_id()}.upload"

    def take(self, path: Path, filename: str, purpose: str, key: str | None, tenant: str | None) -> File:
        """The file at `path` is ours from now on, for that key and its tenant."""
        file = File(
            id=FILE + self._new_id(),
            bytes=path.stat().st_size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
            key=key,
            tenant=tenant,
        )
        _synced(path)
        path.rename(self.content(file.id))
        self._files[file.id] = file
        self._note(file)
        return file

    def files(self, key: Key) -> list[File]:
        """Newest first."""
        return sorted((f for f in self._files.values() if _is_of(f, key)), key=lambda f: f.id, reverse=True)

    def file(self, id: str, key: Key) -> File:
        """Raises CallerError (404)."""
        found = self._files.get(id)
        if found is None or not _is_of(found, key):
            raise CallerError(f"No such File object: {id[:64]}", status=404, code="file_not_found", param="id")
        return found

    def content(self, id: str) -> Path:
        """Where a file of ours lies."""
        return self.folder / f"{id}.jsonl"

    def delete(self, id: str, key: Key) -> None:
        """Raises CallerError: 404, and 409 while a batch under way reads it."""
        self.file(id, key)
        if any(batch.input_file_id == id and batch.status in _UNDER_WAY for batch in self._batches.values()):
            raise CallerError(f"{id} is read by a batch that is under way.", status=409, code="file_in_use")
        del self._files[id]
        self.content(id).unlink(missing_ok=True)
        (self.folder / f"{id}.json").unlink(missing_ok=True)

    # --- batches ----------------------------------------------------------------------------------------------------

    def create(self, wanted: dict[str, Any], key: Key) -> Batch:
        """Begins a batch. Raises CallerError."""
        endpoint, window = wanted.get("endpoint"), wanted.get("completion_window")
        if not isinstance(endpoint, str) or endpoint.removeprefix("/").removeprefix("v1/") not in ENDPOINTS:
            listed = ", ".join(f"/v1/{name}" for name in sorted(ENDPOINTS))
            raise CallerError(f"'endpoint' must be one of {listed}.", code="invalid_value", param="endpoint")
        if window != "24h":
            raise CallerError("'completion_window' must be 24h.", code="invalid_value", param="completion_window")
        metadata = wanted.get("metadata")
        if metadata is not None and not (
            isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        ):
            raise CallerError("'metadata' must be an object of texts.", code="invalid_value", param="metadata")
        file = self.file(str(wanted.get("input_file_id")), key)
        now = int(time.time())
        batch = Batch(
            id=BATCH + self._new_id(),
            endpoint=endpoint,
            input_file_id=file.id,
            created_at=now,
            expires_at=now + _DAY,
            metadata=metadata,
            key=key.id,
            tenant=key.tenant,
        )
        self._batches[batch.id] = batch
        self._note(batch)
        self._begin(batch)
        return batch

    def batches(self, key: Key) -> list[Batch]:
        """Newest first."""
        found = [self._counted(batch) for batch in self._batches.values() if _is_of(batch, key)]
        return sorted(found, key=lambda batch: batch.id, reverse=True)

    def batch(self, id: str, key: Key) -> Batch:
        """Raises CallerError (404)."""
        found = self._batches.get(id)
        if found is None or not _is_of(found, key):
            raise CallerError(f"No batch found with id '{id[:64]}'.", status=404, code="batch_not_found")
        return self._counted(found)

    def cancel(self, id: str, key: Key) -> Batch:
        """Ends calls under way and begins no more. Raises CallerError: 404, and 409 where it is over."""
        batch = self.batch(id, key)
        if batch.status not in _UNDER_WAY:
            raise CallerError(f"The batch is {batch.status} already.", status=409, code="batch_over")
        batch.status, batch.cancelling_at = "cancelling", int(time.time())
        self._note(batch)
        job = self._jobs.get(id)
        if job is not None:
            job.running.stop("cancelled")
        return batch

    def _counted(self, batch: Batch) -> Batch:
        job = self._jobs.get(batch.id)
        if job is not None:
            counts = job.running.counts
            batch.request_counts.completed = job.begun_well + counts.well
            batch.request_counts.failed = job.begun_before - job.begun_well + counts.failed
        return batch

    # --- running ----------------------------------------------------------------------------------------------------

    def _begin(self, batch: Batch) -> None:
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._tasks[batch.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(batch.id, None))

    async def _run(self, batch: Batch) -> None:
        try:
            async with self._slots:
                await self._job(batch)
        except CallerError as error:
            batch.status, batch.failed_at = "failed", int(time.time())
            batch.errors = _errors(error.code, error.message)
            self._note(batch)
        except (TollkeeperError, OSError) as error:  # it goes on after the next start
            self._on_trouble(batch.id, str(error))

    async def _job(self, batch: Batch) -> None:
        if self._closing:
            return
        output = self.folder / f"{batch.id}.rows"
        plan = Plan(
            input=self.content(batch.input_file_id),
            output=output,
            shape=Shape(endpoint=batch.endpoint.removeprefix("/").removeprefix("v1/")),
            about={"endpoint": batch.endpoint},
            limits=Limits(concurrency=self._concurrency),
            input_format="jsonl",
            output_format="jsonl",
            resume=True,
        )
        output.unlink(missing_ok=True)
        job = Job(plan, check=None, now=time.time, monotonic=time.monotonic, uniform=self._uniform, read=answers.whole)
        try:
            job.running.ask = lambda request, attempt: self._asked(batch, request, attempt)  # type: ignore[union-attr]
            loop = asyncio.get_running_loop()
            batch.request_counts.total = await loop.run_in_executor(None, job.count)
            if batch.status == "validating":
                batch.status, batch.in_progress_at = "in_progress", int(time.time())
            self._note(batch)
            self._jobs[batch.id] = job
            if batch.status == "cancelling":
                job.running.stop("cancelled")
            late = loop.call_later(max(0.0, batch.expires_at - time.time()), job.running.stop, "expired")
            try:
                outcome = await job.run()
            finally:
                late.cancel()
            if outcome.ending == "interrupted":
                return  # the gate stops: it goes on after the next start
            self._counted(batch)
            batch.status, batch.finalizing_at = "finalizing", int(time.time())
            found = await loop.run_in_executor(None, self._written, batch, job, outcome.why)
            self._finish(batch, outcome, *found)
        finally:
            self._jobs.pop(batch.id, None)
            job.close()
        for leftover in (output, journal_of(output), *self.folder.glob(f"{batch.id}.rows.*")):
            leftover.unlink(missing_ok=True)

    async def _asked(self, batch: Batch, request: Request, attempt: int) -> Answer:
        """By the key as it is now: one that was revoked asks no more."""
        key = self._key_of(batch.key or "")
        if key is None:
            return Answer(401, b'{"error":{"message":"The key of this batch is revoked.","code":"invalid_api_key"}}')
        return await self._ask(key, request, attempt)

    def _written(self, batch: Batch, job: Job, why: str | None) -> tuple[Path | None, Path | None]:
        """The rows' answers and their errors, each in a file in OpenAI's form; None where there are none."""
        well, failed = self.new_path(), self.new_path()
        with well.open("wb") as answered, failed.open("wb") as refused:
            for has_answer, line in _lines(job, why, self._new_id):
                (answered if has_answer else refused).write(line)
        found = []
        for path in (well, failed):
            empty = not path.stat().st_size
            if empty:
                path.unlink()
            found.append(None if empty else path)
        return found[0], found[1]

    def _finish(self, batch: Batch, outcome: Outcome, well: Path | None, failed: Path | None) -> None:
        now, whose = int(time.time()), (batch.key, batch.tenant)
        if well is not None:
            batch.output_file_id = self.take(well, f"{batch.id}_output.jsonl", "batch_output", *whose).id
        if failed is not None:
            batch.error_file_id = self.take(failed, f"{batch.id}_error.jsonl", "batch_output", *whose).id
        batch.request_counts.failed = batch.request_counts.total - batch.request_counts.completed
        if outcome.why in ("cancelled", "expired"):
            batch.status = outcome.why
        elif outcome.why is not None:
            batch.status = "failed"
            batch.errors = _errors(*outcome.why.split(": ", 1)) if ": " in outcome.why else _errors(None, outcome.why)
        else:
            batch.status = "completed"
        setattr(batch, f"{batch.status}_at", now)
        self._note(batch)

    # --- disk -------------------------------------------------------------------------------------------------------

    def _note(self, what: File | Batch) -> None:
        path = self.folder / f"{what.id}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(_encode(what))
        _synced(fresh)
        fresh.rename(path)

    def _read(self, keep: int) -> None:
        """What is there from before; what is too old goes."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob("*.json"):
            kind: Any = Batch if path.name.startswith(BATCH) else File
            with suppress(msgspec.DecodeError):
                found = msgspec.json.decode(path.read_bytes(), type=kind)
                if found.created_at < time.time() - keep:
                    path.unlink()
                    self.content(found.id).unlink(missing_ok=True)
                elif isinstance(found, Batch):
                    self._batches[found.id] = found
                else:
                    self._files[found.id] = found
        for path in (*self.folder.glob("*.upload"), *self.folder.glob("*.new")):
            path.unlink()


def _is_of(what: File | Batch, key: Key) -> bool:
    """Whether the key made it, or another of its tenant's."""
    return what.key == key.id or what.tenant == key.tenant


def _lines(job: Job, why: str | None, new_id: Callable[[], str]) -> Iterator[tuple[bool, bytes]]:
    """(whether it has an answer, line) of each row, in order."""
    details = job.journal.details()
    index, detail = next(details, (-1, b""))
    for record in job.records():
        if record.index == index:
            row = _detail(detail)
            index, detail = next(details, (-1, b""))
            custom_id, error = row.id, row.error
            body = bytes(row.output)
        else:
            named = record.value.get("custom_id") if isinstance(record.value, dict) else None
            custom_id, body = named, b"null"
            error = Failure("not_run", 0, f"batch_{why or 'stopped'}"[:64], "This row was not run.")
        name = _encode(custom_id)
        if error is None:
            response = b'{"status_code":200,"request_id":"%b","body":%b}' % (new_id().encode(), body)
            yield (
                True,
                b'{"id":"batch_req_%b","custom_id":%b,"response":%b,"error":null}\n'
                % (
                    new_id().encode(),
                    name,
                    response,
                ),
            )
            continue
        said = _encode({"code": error.code or error.type, "message": error.message})
        told = b"null"
        if error.http_status:
            inner = {"message": error.message, "type": error.type, "param": None, "code": error.code}
            told = _encode({"status_code": error.http_status, "request_id": error.request_id, "body": {"error": inner}})
        yield (
            False,
            b'{"id":"batch_req_%b","custom_id":%b,"response":%b,"error":%b}\n'
            % (
                new_id().encode(),
                name,
                told,
                said,
            ),
        )


def _errors(code: str | None, message: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"code": code, "message": message, "param": None, "line": None}]}


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
