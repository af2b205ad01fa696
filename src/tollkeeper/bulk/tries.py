"""Tries at a row: how hard a job may try, what comes of one, and what is known of a row between two of them."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta, Struct

from tollkeeper.bulk.failures import Failure
from tollkeeper.bulk.shaping import Request
from tollkeeper.wire.rate_headers import NOTHING, RateHeaders


class Limits(Struct, frozen=True, kw_only=True):
    """How hard a job may try."""

    concurrency: Annotated[int, Meta(ge=1)] = 100
    timeout: float | None = None
    """Seconds for one try; None: the provider's own timeouts alone."""
    attempts: Annotated[int, Meta(ge=1)] = 8
    """Tries that may fail for other reasons than rates."""
    bad_answers: Annotated[int, Meta(ge=1)] = 3
    """Tries whose answer is not what was asked for, among them."""
    patience: float = 900.0
    """Seconds that a row may be refused for rates before it is put back to the end, once; then it fails."""
    base: float = 0.5
    cap: float = 60.0
    """Full jitter: a wait is anything between 0 and base x 2^n, at most this many seconds."""
    rate_cap: float = 10.0
    """The same after a refusal for rate: how fast calls go out is ruled for all together, so none need stay away long."""
    last_cap: float = 1.0
    """The same for the last rows, of which each waits for its own next try alone, where others' tries go well."""
    max_errors: int | None = None
    """Rows that may fail before the job stops; None: any number."""


class Answer(Struct, frozen=True):
    """What came of one try."""

    status: int
    """0 where there was no answer."""
    body: bytes
    cost_nano: int | None = None
    request_id: str | None = None
    rates: RateHeaders = NOTHING
    tokens_used: int | None = None


Ask = Callable[[Request, int], Awaitable[Answer]]
"""(request, attempt counted from 1) -> answer. Raises nothing but cancellation."""


class Try:
    """A row that is being asked, or waits to be."""

    __slots__ = (
        "attempts",
        "bad",
        "cost",
        "failure",
        "first_at",
        "not_before",
        "parked",
        "rated",
        "refused_at",
        "request",
        "started",
        "tokens_started",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        self.attempts = 0
        self.bad = 0
        self.rated = 0
        self.first_at: float | None = None
        self.not_before = 0.0
        """When the provider said that it may be asked again."""
        self.refused_at: float | None = None
        """When it was first refused with what no row should survive, or only this one."""
        self.parked = False
        self.cost: int | None = None
        self.failure: Failure | None = None
        self.started = 0
        self.tokens_started = 0.0
        """What its pace had counted when its latest try began."""
