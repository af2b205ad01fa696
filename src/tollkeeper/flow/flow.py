"""The engine: a call is admitted by the policies, routed, rendered, sent, relayed and settled.

Rule 1: every attempt that is sent has a hold on disk before and exactly one event after, however it ends.
Rule 2: an end is never awaited: not in cleanup, not when the client is gone.
Rule 3: a reply's headers leave after the provider's first event, so that what fails before is an ordinary error.
Rule 4: a call ends once, after the record of its last attempt: whatever a policy took for it is given back then.
"""

from collections.abc import Sequence

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.ports import Handler, Policy
from tollkeeper.flow.routing import Routing
from tollkeeper.flow.sending import Sending


class Flow:
    """One gate's engine. `routing` is replaced when the config changes; calls under way keep the one they began with."""

    def __init__(self, routing: Routing, policies: Sequence[Policy], sending: Sending) -> None:
        self.routing = routing
        self.sending = sending
        handler: Handler = self._route
        for policy in reversed(policies):
            handler = _around(policy, handler)
        self._admitted = handler

    async def handle(self, call: Call) -> Reply:
        """Answers a call. Raises TollkeeperError where there is no answer to pass on."""
        try:
            return await self._admitted(call)
        except BaseException:
            call.end()
            raise

    async def _route(self, call: Call) -> Reply:
        routing = self.routing
        target = routing.unnamed(call.provider) if call.model is None else routing.targets(call.model)[0]
        attempt = self.sending.attempt(call, target, 1)
        reply = await self.sending.send(attempt)
        if attempt.settled:
            call.end()
        else:
            attempt.on_settled(lambda _: call.end())
        return reply


def _around(policy: Policy, handler: Handler) -> Handler:
    async def guarded(call: Call) -> Reply:
        return await policy(call, handler)

    return guarded
