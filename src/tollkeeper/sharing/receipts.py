"""The record of a call that was answered without asking a provider, and the headers of such an answer."""

from collections.abc import Callable
from functools import partial

import msgspec

from tollkeeper.core.call import Call, Reply, Sink
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.events import Event, Outcome
from tollkeeper.core.ids import Clock
from tollkeeper.core.kept import Kept
from tollkeeper.core.ports import Headers, Ledger, Observer
from tollkeeper.core.usage import NOTHING
from tollkeeper.sharing.runs import Run

_OF_THE_FIRST_ONLY = frozenset(
    # What was true when a provider was asked, and is not when its answer is given again.
    b"x-should-retry retry-after retry-after-ms idempotent-replayed age".split()
)
_BEGINNINGS = (b"x-tollkeeper-", b"x-ratelimit-", b"anthropic-ratelimit-")
"""The gate's own are about one caller's budgets, attempts and time, but for what follows."""
_STAYS = (b"x-tollkeeper-model", b"x-tollkeeper-dropped")
FREE: Headers = [(b"x-tollkeeper-attempts", b"0"), (b"x-tollkeeper-cost", b"0")]
"""What every answer without a provider says about itself."""
_encode = msgspec.json.Encoder().encode


def headers_for_others(headers: Headers) -> Headers:
    """The headers of an answer that stay true when another call gets it."""
    return [
        header
        for header in headers
        if header[0] in _STAYS or not (header[0] in _OF_THE_FIRST_ONLY or header[0].startswith(_BEGINNINGS))
    ]


def kept(run: Run, pieces: tuple[bytes, ...] | None, at: float, request: bytes = b"") -> Kept:
    """What is kept of a run that is over and brought `pieces`."""
    event, reply = run.event, run.reply
    assert event is not None
    assert reply is not None
    return Kept(
        status=reply.status,
        headers=tuple(headers_for_others(reply.headers)),
        pieces=pieces,
        streamed=reply.pour is not None,
        provider=event.provider,
        model=event.model,
        model_used=event.model_used,
        cost_nano=event.cost_nano or event.saved_nano,
        at=at,
        request=request,
    )


def reply_from(answer: Kept, headers: Headers) -> Reply:
    """The kept answer, with further headers: streams in the cuts in which they came, without delay."""
    pieces = answer.pieces or ()
    told = [*answer.headers, *headers]
    if not answer.streamed:
        return Reply(answer.status, told, b"".join(pieces))

    async def pour(sink: Sink) -> None:
        for piece in pieces:
            sink.write(piece)
            blocked = sink.blocked
            if blocked is not None:
                await blocked

    return Reply(answer.status, told, pour=pour)


class Receipts:
    """Writes such records: usage nothing, cost 0, and what the answer had cost as saved."""

    def __init__(
        self,
        ledger: Ledger,
        observe: Observer,
        trouble: Callable[[], TollkeeperError | None],
        now: Clock,
        monotonic: Clock,
    ) -> None:
        self.monotonic = monotonic
        self._trouble = trouble
        self._ledger = ledger
        self._observe = observe
        self._now = now

    def check(self) -> None:
        """Raises what keeps records from being written: what cannot be recorded is not given, free or not."""
        trouble = self._trouble()
        if trouble is not None:
            raise trouble

    def seconds_left(self, call: Call) -> float | None:
        """How long its caller still waits for the call; None: for ever."""
        return None if call.timeout is None else call.accepted_at + call.timeout - self.monotonic()

    def of_kept(self, call: Call, answer: Kept) -> None:
        """`call` was answered from memory: records that."""
        about = (answer.provider, answer.model, answer.model_used, answer.status)
        self._write(call, about, "cached", None, answer.cost_nano, (self.monotonic() - call.accepted_at) * 1000)

    def when_over(self, call: Call, run: Run) -> None:
        """`call` gets what `run` brings: it will be recorded when that is over, and does not end before."""
        call.under_way += 1
        run.afterwards(partial(self._of_run, call))

    def _of_run(self, call: Call, run: Run) -> None:
        event = run.event
        if event is None:
            call.recorded()
            return
        outcome, code, saved = event.outcome, event.error_code, 0
        if run.complete and call.presence.gone:
            outcome = code = "client_left"
        elif run.complete:
            outcome, code, saved = "cached", None, event.cost_nano or event.saved_nano
        self._write(call, (event.provider, event.model, event.model_used, event.status), outcome, code, saved, 0.0)
        call.recorded()

    def _write(
        self,
        call: Call,
        about: tuple[str, str | None, str | None, int],
        outcome: Outcome,
        error_code: str | None,
        saved_nano: int,
        overhead_ms: float,
    ) -> None:
        provider, model, model_used, status = about
        took = (self.monotonic() - call.accepted_at) * 1000
        key = call.key
        event = Event(
            request_id=call.request_id,
            attempt=1,
            started_at=int(self._now() * 1000 - took),
            key_id=key.id,
            owner=key.owner,
            team=key.team,
            operation=call.dialect.operation,
            dialect=call.dialect.name,
            model_asked=call.model,
            provider=provider,
            model=model,
            model_used=model_used,
            streamed=call.streamed,
            outcome=outcome,
            status=status,
            error_code=error_code,
            quality="reported",
            usage=NOTHING,
            cost_nano=0,
            price_version=None,
            usage_raw=None,
            first_byte_ms=None,
            duration_ms=took,
            overhead_ms=overhead_ms,
            saved_nano=saved_nano,
            trace=_encode(call.notes).decode() if call.notes else None,
        )
        self._ledger.settle(event)
        self._observe(event)
        call.events.append(event)
