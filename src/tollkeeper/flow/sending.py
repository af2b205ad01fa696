"""One attempt at one target: held on disk, sent, its answer begun; what goes wrong is recorded before it is raised."""

from tollkeeper.core.account import Patience, Target
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Budgets, Ledger, Observer, Outbound
from tollkeeper.flow.attempt import Attempt, PriceOf
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures
from tollkeeper.flow.passage import as_asked, carried, kept_to
from tollkeeper.flow.relay import Relay, RelayOptions
from tollkeeper.flow.render import render
from tollkeeper.flow.translated_relay import TranslatedRelay


class Sending:
    """Makes attempts."""

    def __init__(
        self,
        *,
        outbound: Outbound,
        ledger: Ledger,
        budgets: Budgets,
        observe: Observer,
        price_of: PriceOf,
        counting: Counting,
        departures: Departures,
        options: RelayOptions,
        now: Clock,
        monotonic: Clock,
    ) -> None:
        self.options = options
        self.departures = departures
        self._outbound = outbound
        self._ledger = ledger
        self._budgets = budgets
        self._observe = observe
        self._price_of = price_of
        self._counting = counting
        self._now = now
        self._monotonic = monotonic

    def attempt(self, call: Call, target: Target, number: int, timeouts: Patience | None = None) -> Attempt:
        """The record of an attempt that is about to be made, with the account's timeouts where no others are given."""
        return Attempt(
            call,
            target,
            number,
            ledger=self._ledger,
            observe=self._observe,
            price_of=self._price_of,
            now=self._now,
            monotonic=self._monotonic,
            timeouts=target.account.timeouts if timeouts is None else timeouts,
        )

    async def send(self, attempt: Attempt) -> Reply:
        """The provider's answer as a reply, an error of its own (status >= 400) too.

        Raises UpstreamError where it gave none, CallerError where a budget refuses it or it cannot be carried there,
        GateError where nothing could be held or too much waits to be counted, ClientLeft. The attempt is settled then and
        when it returns, unless the reply still pours.
        """
        call, target = attempt.call, attempt.target
        try:
            if call.metered:
                self._counting.check(call.key.id)  # whether the answer will report its usage is not known yet
            asked, passed = carried(call, target, self._now())
            way: Outbound = call.line or self._outbound
            if call.ways is not None:
                way = call.ways.out(target, way, passed is None)
            if self._budgets.concern(call.key):
                reservation = await self._budgets.reserve(*as_asked(asked, passed, target), attempt.hold.started_at)
                if reservation is not None:
                    attempt.reserve(reservation)
                    asked, passed = kept_to(attempt.limits, asked, passed, call, target, self._now())
            outgoing = render(asked, target, attempt.limits)
            await self._ledger.hold(attempt.hold)
            if call.presence.gone:
                raise ClientLeft("The client left.")
        except BaseException as error:
            attempt.forgo(error)
            raise
        attempt.dispatch()
        try:
            answer = await way.send(outgoing.method, outgoing.url, outgoing.headers, outgoing.body, attempt.timeouts)
        except TollkeeperError as error:
            attempt.settle("upstream_error", error.code)
            raise
        except BaseException:
            attempt.settle("gate_stopped", "gate_stopped")
            raise
        attempt.sent = True
        attempt.reused = answer.reused
        if attempt.until is not None:
            answer.limit_to(attempt.until - self._monotonic())
        if passed is None:
            relay = Relay(attempt, answer, outgoing.hide_usage, self._counting, self.departures, self.options)
        else:
            relay = TranslatedRelay(attempt, answer, passed, self._counting, self.departures, self.options)
        call.presence.on_leave(relay.client_left)
        return await relay.reply()
