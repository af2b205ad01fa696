"""The engine: a call is admitted by the policies, routed, rendered, sent, relayed and settled.

Rule 1: every attempt that is sent has a hold on disk before and exactly one event after, however it ends.
Rule 2: an end is never awaited: not in cleanup, not when the client is gone.
Rule 3: a reply's headers leave after the provider's first event, so that what fails before is an ordinary error.
"""

from collections.abc import Sequence

from tollkeeper.core.account import Target
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Handler, Ledger, Observer, Outbound, Policy
from tollkeeper.flow.attempt import Attempt, PriceOf
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures
from tollkeeper.flow.relay import Relay, RelayOptions
from tollkeeper.flow.render import render
from tollkeeper.flow.routing import Routing


class Flow:
    """One gate's engine. `routing` is replaced when the config changes; calls under way keep the one they began with."""

    def __init__(
        self,
        routing: Routing,
        policies: Sequence[Policy],
        *,
        outbound: Outbound,
        ledger: Ledger,
        observe: Observer,
        price_of: PriceOf,
        counting: Counting,
        departures: Departures,
        options: RelayOptions,
        now: Clock,
        monotonic: Clock,
    ) -> None:
        self.routing = routing
        self.options = options
        self.departures = departures
        self._outbound = outbound
        self._ledger = ledger
        self._observe = observe
        self._price_of = price_of
        self._counting = counting
        self._now = now
        self._monotonic = monotonic
        handler: Handler = self._route
        for policy in reversed(policies):
            handler = _around(policy, handler)
        self.handle = handler
        """Answers a call. Raises TollkeeperError where there is no answer to pass on."""

    async def _route(self, call: Call) -> Reply:
        routing = self.routing
        target = routing.unnamed(call.provider) if call.model is None else routing.targets(call.model)[0]
        return await self._attempt(call, target, 1)

    async def _attempt(self, call: Call, target: Target, number: int) -> Reply:
        outgoing = render(call, target)
        timeouts = target.account.timeouts
        attempt = Attempt(
            call,
            target,
            number,
            ledger=self._ledger,
            observe=self._observe,
            price_of=self._price_of,
            now=self._now,
            monotonic=self._monotonic,
            lifetime=timeouts.connect + timeouts.total,
        )
        await self._ledger.hold(attempt.hold)
        if call.presence.gone:
            self._ledger.release(call.request_id, number)
            raise ClientLeft("The client left.")
        try:
            answer = await self._outbound.send(outgoing.method, outgoing.url, outgoing.headers, outgoing.body, timeouts)
        except TollkeeperError as error:
            attempt.settle("upstream_error", error.code)
            raise
        except BaseException:
            attempt.settle("gate_stopped", "gate_stopped")
            raise
        relay = Relay(attempt, answer, outgoing.hide_usage, self._counting, self.departures, self.options)
        call.presence.on_leave(relay.client_left)
        return await relay.reply()


def _around(policy: Policy, handler: Handler) -> Handler:
    async def guarded(call: Call) -> Reply:
        return await policy(call, handler)

    return guarded
