"""The engine: a call is admitted by the policies, routed, rendered, sent, relayed and settled.

Rule 1: every attempt that is sent has a hold on disk before and exactly one event after, however it ends.
Rule 2: an end is never awaited: not in cleanup, not when the client is gone.
Rule 3: a reply's headers leave after the provider's first event, so that what fails before is an ordinary error.
Rule 4: a call ends once, after the record of its last attempt: whatever a policy took for it is given back then.
"""

from collections.abc import Awaitable, Callable, Sequence

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.ports import Handler, Policy
from tollkeeper.flow.failover import Failover
from tollkeeper.flow.named_ids import may_name, named
from tollkeeper.flow.origins import Bonds, models_of_batch
from tollkeeper.flow.overhearing import Overhearing
from tollkeeper.flow.own_lists import OwnLists
from tollkeeper.flow.pools import Pools
from tollkeeper.flow.rehearsal import Rehearsal
from tollkeeper.flow.routing import Routing
from tollkeeper.flow.token_counting import TokenCounting


class Flow:
    """One gate's engine. `routing` is replaced when the config changes; calls under way keep the one they began with."""

    def __init__(
        self,
        routing: Routing,
        policies: Sequence[Policy],
        pools: Pools,
        failover: Failover,
        rehearsal: Rehearsal,
        bonds: Bonds,
        token_counting: TokenCounting,
        refused: Callable[[Call, TollkeeperError], None] = lambda call, error: None,
    ) -> None:
        self.routing = routing
        self._refused = refused
        self._pools = pools
        self._failover = failover
        self._answered = failover.__call__  # see `_around`
        self._rehearsal = rehearsal
        self._bonds = bonds
        self._overhear = Overhearing(bonds)
        self._lists = OwnLists(bonds, failover)
        self._token_counting = token_counting
        handler: Handler = self._route
        for policy in reversed(policies):
            handler = _around(policy, handler)
        self._admitted = handler

    async def handle(self, call: Call) -> Reply:
        """Answers a call. Raises TollkeeperError where there is no answer to pass on."""
        try:
            return await self._admitted(call)
        except BaseException as error:
            if isinstance(error, TollkeeperError) and not (call.events or isinstance(error, ClientLeft)):
                self._refused(call, error)
            raise
        finally:
            call.end()

    def permit(self, call: Call) -> None:
        """For what goes out beside a call, as on a socket that is open: raises CallerError where it names what its caller
        may not use.
        """
        routing = self.routing
        self._bonds.check(call, self._bonds.of(routing, call), routing.accounts.values())

    def _route(self, call: Call) -> Awaitable[Reply]:
        routing = self.routing
        if call.line is not None:
            followed = self._failover.over(call, call.line)
            return self._remembered(routing, call, followed, named(call)) if call.destination is None else followed
        if call.destination is None and (
            not call.dialect.needs_model or "store" in call.members or (self._bonds.watchful and may_name(call))
        ):
            return self._bound(routing, call)
        pool = self._pools.of(routing, call)
        if not call.metered and self._token_counting.takes(call, pool):
            return self._token_counting(call, pool)
        return self._rehearsal(call, pool) if call.dry else self._answered(call, pool)

    async def _bound(self, routing: Routing, call: Call) -> Reply:
        """A call that may name what an account keeps, or make it."""
        bond = self._bonds.of(routing, call)
        if bond.kept is None and call.model is None and call.provider is None and routing.several:
            call.provider = routing.account_of_batch(models_of_batch(call))
        pool = self._pools.of(routing, call) if bond.kept is None else self._pools.bound(routing, call, *bond.kept)
        self._bonds.check(call, bond, (member.target.account for member in pool.members))
        if not call.metered and self._token_counting.takes(call, pool):
            return await self._token_counting(call, pool)
        if call.dry:
            return await self._rehearsal(call, pool)
        self._bonds.watch(routing, call)
        reply = await self._remembered(routing, call, self._failover(call, pool), bond.names)
        return await self._lists(routing, call, pool, reply) if self._lists.concern(call, reply) else reply

    async def _remembered(self, routing: Routing, call: Call, reply: Awaitable[Reply], names: Sequence[str]) -> Reply:
        return self._overhear(routing, call, await reply, names)


def _around(policy: Policy, handler: Handler) -> Handler:
    rule = policy.__call__  # the method itself: CPython calls it without a frame of C's for each policy of each call

    def guarded(call: Call) -> Awaitable[Reply]:
        return rule(call, handler)

    return guarded
