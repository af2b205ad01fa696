"""Many prompts from a program: a list of answers in order, or each as it comes, by the runner of `tollkeeper run`."""

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import msgspec
from msgspec import Struct

from tollkeeper import config as configuration
from tollkeeper.bulk import connecting
from tollkeeper.bulk.failures import Failure
from tollkeeper.bulk.journal import Finished
from tollkeeper.bulk.pacing import Pace
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.running import Running
from tollkeeper.bulk.shaping import Shape
from tollkeeper.bulk.tries import Limits
from tollkeeper.core.errors import CallerError, GateError, UpstreamError
from tollkeeper.core.template import Template

Prompt = str | Mapping[str, Any] | list[Any]
"""A text, a list of messages, or an object as a line of a bulk file is one."""


class Completed(Struct, frozen=True):
    """What came of one prompt."""

    index: int
    """Its place among the prompts, from 0."""
    output: Any = None
    """The answer's text; the message where it calls tools or refuses."""
    error: Failure | None = None
    """Why there is no answer."""
    usage: dict[str, Any] | None = None
    cost_usd: str | None = None
    attempts: int = 0


class CompletionFailed(UpstreamError):
    """A prompt that has no answer, with `completed.error`; raised where that was asked for."""

    def __init__(self, completed: Completed) -> None:
        assert completed.error is not None
        super().__init__(f"Prompt {completed.index}: {completed.error.message}", code=completed.error.code)
        self.completed = completed


class Options(TypedDict, total=False):
    """What all three functions take beside the prompts."""

    model: str | None
    """The model, where a prompt names none."""
    system: str | None
    """A system message before each prompt; `{{ name }}` is filled from a prompt's columns."""
    parameters: Mapping[str, Any]
    """Of each request: {"temperature": 0}."""
    concurrency: int
    """Calls at once, at most: 100."""
    timeout: float | None
    """Seconds for one try: 10; None: the provider's own timeouts alone."""
    attempts: int
    """Tries that may fail for other reasons than rates: 20."""
    rpm: float | None
    tpm: float | None
    gate: str | None
    """A running gate's address; its key is in TOLLKEEPER_KEY. None: this process asks, on a home that no gate serves."""
    home: str | Path | None
    config: str | Path | None
    key: str
    """Whose budgets and ledger rows these are: `bulk`."""
    progress: Callable[[int, int, int | None], None] | None
    """Called with (ended, failed, total) after each prompt; the total is None where the prompts have no length."""


_LEAST = {"concurrency": 1, "attempts": 1, "timeout": 0, "rpm": 0, "tpm": 0}
_decode = msgspec.json.Decoder(Completed).decode


class _Handed:
    """Takes the place of a journal: ends are handed to whoever iterates, and nobody runs far ahead of that."""

    def __init__(self, ahead: int) -> None:
        self.trouble: GateError | None = None
        self.on_trouble: Callable[[], None] | None = None
        self._ahead = ahead
        self._ready: deque[tuple[Finished, Callable[[], None] | None]] = deque()
        self._news = asyncio.Event()

    @property
    def backlog(self) -> int:
        return len(self._ready)

    def earlier(self, index: int) -> tuple[int, int | None] | None:
        """No prompt was asked before."""
        return None

    def put(self, row: Finished, written: Callable[[], None]) -> None:
        room = len(self._ready) < self._ahead
        self._ready.append((row, None if room else written))
        self._news.set()
        if room:
            written()

    def hasten(self) -> None:
        """Nothing waits for company here."""

    async def settled(self) -> None:
        return

    async def take(self, running: "asyncio.Task[str | None]") -> Completed | None:
        """The next end; None when there is none any more."""
        running.add_done_callback(lambda _: self._news.set())
        while not self._ready:
            if running.done():
                return None
            self._news.clear()
            await self._news.wait()
        row, written = self._ready.popleft()
        if written is not None:
            written()
        return _decode(row.detail)


async def completions(prompts: Iterable[Prompt], **options: Unpack[Options]) -> AsyncIterator[Completed]:
    """Each prompt's answer or error as it comes, in no order. Whoever stops iterating stops the work; close it then.

    Raises TollkeeperError where nothing can be asked at all: a wrong key, a spent quota, no such model, options that
    cannot be meant.
    """
    _refuse_what_cannot_be_meant(prompts, options)
    concurrency, progress = options.get("concurrency", 100), options.get("progress")
    total = len(prompts) if isinstance(prompts, (list, tuple)) else None
    system = options.get("system")
    async with AsyncExitStack() as stack:
        handed = _Handed(10 * concurrency)
        running = Running(
            _records(prompts),
            Shape(
                model=options.get("model"),
                system=None if system is None else Template(system),
                parameters=options.get("parameters", {}),
            ),
            handed,
            bytearray(),
            Limits(concurrency=concurrency, timeout=options.get("timeout", 10.0), attempts=options.get("attempts", 20)),
            pace=Pace(rpm=options.get("rpm"), tpm=options.get("tpm"), now=time.monotonic(), uniform=random.uniform),
            check=None,
            now=time.time,
            monotonic=time.monotonic,
            uniform=random.uniform,
        )
        gate = options.get("gate")
        if gate is not None:
            running.ask = await stack.enter_async_context(
                connecting.through_gate(gate, os.environ.get("TOLLKEEPER_KEY", ""))
            )
        else:
            config, home = _path(options.get("config")), _path(options.get("home"))
            where = home if home is not None else configuration.home(config)
            _, running.ask = await stack.enter_async_context(
                connecting.in_process(config, where, options.get("key", connecting.KEY), "complete_many")
            )
        task = asyncio.get_running_loop().create_task(running.run())
        try:
            while (completed := await handed.take(task)) is not None:
                if progress is not None:
                    progress(running.counts.well + running.counts.failed, running.counts.failed, total)
                yield completed
            why = await task
        finally:
            task.cancel()
            await asyncio.wait([task])
        if why is not None:
            raise UpstreamError(f"Stopped: {why}", code="job_stopped")


async def complete_many(
    prompts: Iterable[Prompt], *, on_error: Literal["none", "raise", "object"] = "none", **options: Unpack[Options]
) -> list[Any]:
    """Every prompt's answer, in order. A prompt that failed for good is None, a `Completed` with its error ("object"), or
    raises CompletionFailed and ends the others ("raise"). Raises as `completions` does."""
    found: dict[int, Any] = {}
    answers = completions(prompts, **options)
    try:
        async for completed in answers:
            if completed.error is None:
                found[completed.index] = completed.output
            elif on_error == "raise":
                raise CompletionFailed(completed)
            else:
                found[completed.index] = None if on_error == "none" else completed
    finally:
        await answers.aclose()  # type: ignore[attr-defined]
    return [found[index] for index in range(len(found))]


def run_many(
    prompts: Iterable[Prompt], *, on_error: Literal["none", "raise", "object"] = "none", **options: Unpack[Options]
) -> list[Any]:
    """`complete_many` for code without an event loop; where one runs (a notebook), in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(complete_many(prompts, on_error=on_error, **options))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(complete_many(prompts, on_error=on_error, **options))).result()


def _refuse_what_cannot_be_meant(prompts: object, options: Options) -> None:
    """Raises CallerError: with no call at a time, say, nothing would ever end."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise CallerError(f"There is no option {', '.join(sorted(unknown))}.", code="invalid_value")
    if isinstance(prompts, (str, bytes, Mapping)):
        raise CallerError("The prompts must be several: a list, not one text or object.", code="invalid_value")
    for name, value in options.items():
        least = _LEAST.get(name)
        if least is not None and isinstance(value, (int, float)) and (value < least or value == 0):
            wanted = f"{least} at least" if least else "more than 0"
            raise CallerError(f"{name} must be {wanted}.", code="invalid_value", param=name)


def _records(prompts: Iterable[object]) -> Iterator[Record]:
    for index, prompt in enumerate(prompts):
        if isinstance(prompt, str):
            yield Record(index, index + 1, prompt)
        elif isinstance(prompt, Mapping):
            yield Record(index, index + 1, dict(prompt))
        elif isinstance(prompt, list):
            yield Record(index, index + 1, {"messages": prompt})
        else:
            yield Record(index, index + 1, None, f"prompt {index} is neither a text nor messages nor an object")


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
