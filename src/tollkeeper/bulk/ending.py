"""How a row ends, whoever runs it: counted, handed to the journal, and the job stopped where too many have failed."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from msgspec import UNSET

from tollkeeper.bulk import answers
from tollkeeper.bulk.failures import Failure
from tollkeeper.bulk.journal import Finished
from tollkeeper.bulk.results import result_line
from tollkeeper.bulk.shaping import Request, RowProblem
from tollkeeper.core.errors import GateError
from tollkeeper.core.ids import Clock


class Ends(Protocol):
    """Where rows' ends go: the journal, or who waits for them."""

    trouble: GateError | None
    on_trouble: Callable[[], None] | None

    @property
    def backlog(self) -> int: ...
    def earlier(self, index: int) -> tuple[int, int | None] | None: ...
    def put(self, row: Finished, written: Callable[[], None]) -> None: ...
    def hasten(self) -> None: ...
    async def settled(self) -> None: ...


class Counts:
    """What has happened so far, for whoever watches."""

    def __init__(self) -> None:
        self.well = 0
        self.failed = 0
        self.first_failure: str | None = None
        """Which row failed first in this run, and why."""
        self.attempts = 0
        self.tokens = 0
        self.cost_nano = 0
        self.errors: Counter[str] = Counter()
        """Failed tries by kind."""
        self.seconds: deque[float] = deque(maxlen=256)
        """How long the latest good answers took."""
        self.drawn = 0
        """Rows taken from the input."""


class Ending:
    """Of one job's rows. `stop` is called where more than `most_errors` have failed."""

    def __init__(
        self, journal: Ends, counts: Counts, most_errors: int | None, now: Clock, stop: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._counts = counts
        self._most_errors = most_errors
        self._now = now
        self._stop = stop

    def __call__(
        self,
        request: Request,
        attempts: int,
        cost_nano: int | None,
        written: Callable[[], None],
        *,
        output: answers.Output | None = None,
        error: Failure | None = None,
    ) -> None:
        """The row has its answer or its error; `written` is called once that is on disk."""
        counts = self._counts
        if error is None:
            counts.well += 1
        else:
            counts.failed += 1
            if counts.first_failure is None:
                counts.first_failure = f"row {request.index}, {error.message}"
            most = self._most_errors
            if most is not None and counts.failed > most:
                self._stop(f"more than {most} rows failed")
        before = self._journal.earlier(request.index)
        if before is not None:
            attempts += before[0]
            cost_nano = before[1] if cost_nano is None else cost_nano + (before[1] or 0)
        finished = Finished(
            index=request.index,
            failed=error is not None,
            attempts=attempts,
            cost_nano=cost_nano,
            ended_at=int(self._now() * 1000),
            detail=result_line(request, attempts, cost_nano, output, error),
        )
        self._journal.put(finished, written)


def unreadable(index: int, problem: RowProblem) -> tuple[Request, Failure]:
    """A row that cannot be asked: who it is, and its error."""
    said = UNSET if problem.said is None else problem.said
    why = Failure("invalid_request_error", 0, "invalid_row", problem.message, said=said)
    return Request(index, problem.id, "", b""), why
