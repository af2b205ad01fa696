"""One try at one target, from its hold to its event: the record is written exactly once, however the try ends."""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from tollkeeper.core import receipt
from tollkeeper.core.account import Patience, Target
from tollkeeper.core.call import Call, Upload
from tollkeeper.core.errors import ClientLeft
from tollkeeper.core.events import Event, Hold, Outcome, Quality
from tollkeeper.core.ids import Clock
from tollkeeper.core.moment import moment
from tollkeeper.core.money import Price, usd_from_nano
from tollkeeper.core.ports import Ledger, Observer, Reservation, Sent
from tollkeeper.core.usage import NOTHING, Heard, Reported, Usage
from tollkeeper.flow.health import STALE, TargetHealth

PriceOf = Callable[[Target, str | None, str | None, int], Price | None]
"""(target, model as the answer named it, service tier, Unix ms) -> price, None where unknown."""

_LONGEST_RAW = 4096
_NO_LIMITS: Mapping[str, bytes] = {}
_encode = msgspec.json.Encoder().encode


class Attempt:
    """Keeps one attempt's record until it is settled."""

    __slots__ = (
        "_ledger",
        "_monotonic",
        "_observe",
        "_price_of",
        "_reported_cost",
        "_settled",
        "answer",
        "call",
        "dispatched",
        "error_said",
        "heard",
        "hold",
        "overhead_ms",
        "probe",
        "reservation",
        "reused",
        "sent",
        "started",
        "state",
        "target",
        "timeouts",
        "until",
    )

    def __init__(
        self,
        call: Call,
        target: Target,
        number: int,
        *,
        ledger: Ledger,
        observe: Observer,
        price_of: PriceOf,
        now: Clock,
        monotonic: Clock,
        timeouts: Patience,
    ) -> None:
        said, self.started = moment(now, monotonic)
        started_ms = int(said * 1000)
        self._ledger = ledger
        self._observe = observe
        self._price_of = price_of
        self._monotonic = monotonic
        self._settled = False
        self._reported_cost: int | None = None
        self.call = call
        self.target = target
        self.answer: Sent | None = None
        self.heard = Heard()
        self.reservation: Reservation | None = None
        self.timeouts = timeouts
        self.until: float | None = None
        """Monotonic time at which its call is over."""
        self.state: TargetHealth | None = None
        """Is told how it ends."""
        self.probe = False
        """Whether its end decides over the target's return."""
        self.dispatched = False
        """Whether it is held, and so will be recorded."""
        self.sent = False
        """Whether the request was handed to the network."""
        self.reused = False
        """Whether it went over a connection that the provider may have closed meanwhile."""
        self.error_said: str | None = None
        """The code of an error that came under a success: as the whole answer, or as what a stream began with."""
        self.overhead_ms = 0.0
        """Milliseconds of the call's time that the gate used, not the provider."""
        body = call.body
        size = (body.length or 0) if isinstance(body, Upload) else len(body)
        self.hold = Hold(  # by place: to find the names of so many fields costs as much as all the rest of it
            call.request_id,
            number,
            started_ms,
            started_ms + int((timeouts.connect + timeouts.total) * 1000),
            call.key.id,
            call.key.owner,
            call.key.team,
            call.dialect.operation,
            call.dialect.name,
            call.model,
            target.account.name,
            target.model,
            call.streamed,
            size if call.dialect.needs_model else 0,
            idempotency=call.idempotency,
        )

    def reserve(self, reservation: Reservation) -> None:
        """This much is set aside for it."""
        self.reservation = reservation
        self.hold = msgspec.structs.replace(
            self.hold, held_nano=reservation.held_nano, held_tokens=reservation.held_tokens
        )

    @property
    def limits(self) -> Mapping[str, bytes]:
        """Members of the request that must be so, for it to stay within what is set aside."""
        return _NO_LIMITS if self.reservation is None else self.reservation.changes

    def forgo(self, why: BaseException) -> None:
        """It is not sent, for that reason: nothing is set aside for it any more, and it is not held.

        What the ledger itself refuses is not held; whoever was cancelled or left may have its hold on disk by now.
        """
        if self.reservation is not None:
            self.reservation.release()
        if isinstance(why, (asyncio.CancelledError, ClientLeft)):
            self._ledger.release(self.hold.request_id, self.hold.attempt)

    def begun(self, answer: Sent) -> None:
        """The answer's headers are here."""
        self.answer = answer

    def hear(self, heard: Heard) -> None:
        """What the answer has said about itself so far."""
        self.heard = heard

    def replying(self, waited_until: float) -> None:
        """The client is about to get its answer; the provider was last waited for at `waited_until` (monotonic)."""
        answer = self.answer
        waited = waited_until - answer.sent_at if answer is not None else 0.0
        self.overhead_ms = (self._monotonic() - self.call.accepted_at - waited - self.call.elsewhere) * 1000

    def given_up(self, now: float) -> None:
        """Another may be made in its place: what its provider took of the call's time was not the gate's."""
        answer = self.answer
        self.call.elsewhere += now - (self.started if answer is None else answer.sent_at)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the client is told about how it was served."""
        headers = [
            _model_header(self.target.account.name, self.target.model),
            (b"x-tollkeeper-attempts", str(self.hold.attempt).encode()),
            (b"x-tollkeeper-overhead-ms", b"%.2f" % self.overhead_ms),
        ]
        if self.reservation is not None:
            headers += self.reservation.headers
        return headers

    def cost_header(self) -> bytes | None:
        """USD of what was reported; None where no price is known or nothing was reported."""
        cost = self._cost()
        return None if cost is None else usd_from_nano(cost).encode()

    def _cost(self) -> int | None:
        if self._reported_cost is None and self.heard.reported is not None:
            price = self._price()
            self._reported_cost = None if price is None else price.cost(self.heard.reported.usage)
        return self._reported_cost

    def _price(self) -> Price | None:
        if self.target.price is not None:
            return self.target.price
        return self._price_of(self.target, self.heard.model, self.heard.tier, self.hold.started_at)

    def dispatch(self) -> None:
        """It is held and about to be sent: from here on it is recorded, whatever happens."""
        self.dispatched = True
        self.call.under_way += 1

    def settle(self, outcome: Outcome, error_code: str | None = None, counted: Usage | None = None) -> None:
        """Writes the event: what was reported, or else what was `counted`. Only the first call does anything."""
        if self._settled:
            return
        self._settled = True
        call, heard = self.call, self.heard
        once = heard.once
        reported = heard.reported if call.metered or once is not None else None
        usage = reported.usage if reported is not None else counted
        price = self._price()
        quality: Quality = "reported" if reported is not None else "counted"
        cost: int | None = None
        if reported is not None and price is not None:
            cost = self._reported_cost if self._reported_cost is not None else price.cost(reported.usage)
        elif usage is not None and price is not None:
            cost = price.cost(usage)
        elif reported is None and (
            not call.metered
            or once is not None
            or (usage in (None, NOTHING) and outcome in ("error", "upstream_error"))
        ):
            cost = 0
        else:
            quality = "unpriced"
        if self.reservation is not None:
            over = reported is not None or outcome in ("error", "upstream_error")
            self.reservation.settle(cost, usage or NOTHING, once, over)
        hold, answer = self.hold, self.answer
        ended = self._monotonic()
        first_byte = None if answer is None else (answer.first_byte_at - self.started) * 1000
        event = Event(  # by place, as above
            hold.request_id,
            hold.attempt,
            hold.started_at,
            hold.key_id,
            hold.owner,
            hold.team,
            hold.operation,
            hold.dialect,
            hold.model_asked,
            hold.provider,
            hold.model,
            heard.model,
            hold.streamed,
            outcome,
            answer.status if answer is not None else 0,
            error_code,
            quality,
            usage or NOTHING,
            cost,
            price.version if price is not None else None,
            _kept(reported) if reported else None,
            first_byte,
            (ended - self.started) * 1000,
            self.overhead_ms,
            hold.held_nano,
            trace=self._trace(price, usage),
        )
        self._ledger.settle(event, once if reported is not None else None, look=not call.metered)
        self._observe(event if call.metered else msgspec.structs.replace(event, usage=NOTHING, cost_nano=0))
        call.events.append(event)
        if self.state is not None:
            excused = error_code is not None and self._excused(error_code, ended)
            self.state.ended(event, ended, self.probe, excused)
        if self.dispatched:
            call.recorded()

    def _excused(self, error_code: str, ended: float) -> bool:
        """Whether a failure says nothing of the target: a kept connection was closed, or its caller would not wait."""
        if self.until is not None and self.call.timeout is not None and ended >= self.until:
            return True
        return self.reused and error_code in STALE

    def _trace(self, price: Price | None, usage: Usage | None) -> str | None:
        """The call's notes, and the unit prices that this attempt was charged at."""
        notes = self.call.notes
        if price is None or usage is None:
            return _encode(notes).decode() if notes else None
        units = receipt.note(price.in_force(usage))
        return f"{_encode(notes).decode()[:-1]},{units}]" if notes else f"[{units}]"


@lru_cache(1024)
def _model_header(account: str, model: str | None) -> tuple[bytes, bytes]:
    name = account if model is None else f"{account}/{model}"
    return b"x-tollkeeper-model", name.encode("ascii", "replace")


def _kept(reported: Reported) -> str:
    return reported.raw[:_LONGEST_RAW].decode("utf-8", "replace")
