"""Takes what a call needs of every limit that it falls under, or refuses it and says when to come back.

Rule 1: nothing is taken of any limit where one refuses.
Rule 2: tokens are taken as estimated and settled to what the call's attempts really used when it is over, however it ends.
Rule 3: a place under way is held until then: a call that is still read to its end for a client that left holds its place.
"""

from collections.abc import Awaitable, Mapping, Sequence

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.gcra import Standing
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Handler, Limiter
from tollkeeper.policies.limits import estimates
from tollkeeper.policies.limits.effective import Effective, LimitRules, Plan
from tollkeeper.policies.limits.refusals import decisive, headers, never, refusal, without_theirs
from tollkeeper.policies.limits.waiting import Waiting

ORDER = 200


class Limits:
    """`rules` is replaced when the config changes; what is counted stays, by the ids of the limits."""

    def __init__(self, rules: LimitRules, limiter: Limiter, monotonic: Clock) -> None:
        self.rules = rules
        self._limiter = limiter
        self._monotonic = monotonic
        self._waiting = Waiting(limiter)
        self._plans: dict[str, Plan] = {}
        self._refused: dict[tuple[str, ...], int] = {}

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return self._waiting.count

    @property
    def refused(self) -> Mapping[tuple[str, ...], int]:
        """(scope, dimension) -> how many calls that limit has refused."""
        return self._refused

    def close(self) -> None:
        """The gate stops: nobody waits any longer."""
        self._waiting.close()

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        key = call.key
        plan = self._plans.get(key.id)
        if plan is None or plan.key is not key or plan.rules is not self.rules:
            plan = self._plans[key.id] = Plan(key, self.rules, plan)
        effective = plan.of(call.model)
        return self._limited(call, next, plan, effective) if effective.allowances else next(call)

    async def _limited(self, call: Call, next: Handler, plan: Plan, effective: Effective) -> Reply:
        if effective.counts_tokens:
            costs = effective.costs(estimates.input_tokens(call), estimates.output_tokens(call, plan.mean_output))
            for at in effective.tokens:
                if costs[at] > effective.allowances[at].amount:
                    raise await self._never(call, effective, costs, at)
        else:
            costs = effective.costs(0, 0)
        standings = await self._take(call, effective, costs)
        if not call.dry:
            call.on_end(lambda call: self._settle(call, plan, effective, costs))
        _note(call, effective, costs, standings, True)
        told = headers(effective, standings)
        try:
            reply = await next(call)
        except TollkeeperError as error:
            error.headers = (*without_theirs(error.headers), *told)
            raise
        reply.headers = without_theirs(reply.headers)
        reply.headers += told
        return reply

    async def _take(self, call: Call, effective: Effective, costs: list[int]) -> list[Standing]:
        """The standings once all is taken; at once, or after a wait where one is allowed. Raises CallerError."""
        allowances, waiting, rules = effective.allowances, self._waiting, self.rules
        if call.dry:
            standings = await self._limiter.look(allowances, costs)
            if not standings[decisive(standings)][2]:
                return standings
            raise self._refusal(call, effective, costs, standings)
        if waiting.count and waiting.goes_before(call.key.id, allowances):
            standings = await self._limiter.look(allowances, costs)
        else:
            standings = await self._limiter.take(allowances, costs, call.request_id)
            for standing in standings:
                if standing[2]:
                    break
            else:
                return standings
        patience = self._patience(call) if rules.wait else 0.0
        if patience > 0 and _worth_waiting(effective, standings, patience) and waiting.room(call.key.id, rules.queue):
            taken = await waiting.turn(
                call.key.id,
                allowances,
                costs,
                standings,
                holder=call.request_id,
                presence=call.presence,
                seconds=patience,
            )
            if taken is not None:
                return taken
            standings = await self._limiter.look(allowances, costs)
        raise self._refusal(call, effective, costs, standings)

    def _patience(self, call: Call) -> float:
        """Seconds that a call may wait: no longer than it has in all."""
        seconds = self.rules.wait
        for given in (call.timeout, self.rules.deadline):
            if given is not None:
                seconds = min(seconds, call.accepted_at + given - self._monotonic())
        return seconds

    def _refusal(
        self, call: Call, effective: Effective, costs: Sequence[int], standings: Sequence[Standing]
    ) -> TollkeeperError:
        at = decisive(standings)
        self._count_refusal(call, effective, at)
        _note(call, effective, costs, standings, False)
        return refusal(effective, costs, standings, headers(effective, standings))

    async def _never(self, call: Call, effective: Effective, costs: Sequence[int], at: int) -> TollkeeperError:
        standings = await self._limiter.look(effective.allowances, [0] * len(costs))
        self._count_refusal(call, effective, at)
        return never(effective.allowances[at], costs[at], headers(effective, standings))

    def _count_refusal(self, call: Call, effective: Effective, at: int) -> None:
        if not call.dry:
            limit = effective.allowances[at].limit
            by = (limit.scope, limit.dimension)
            self._refused[by] = self._refused.get(by, 0) + 1

    def _settle(self, call: Call, plan: Plan, effective: Effective, costs: list[int]) -> None:
        """The call is over: tokens become those that were used, what was not used is free again."""
        settled = effective.settled if call.events else effective.unsettled
        if not settled:
            return
        taken_in = taken_out = 0
        for event in call.events:
            taken_in += event.usage.input_tokens
            taken_out += event.usage.output_tokens
        if taken_out and effective.counts_tokens:
            plan.learn(taken_out)
        # A place is given back, and so is a request for which nothing was tried: nothing of either was used up.
        parts = (0, taken_in + taken_out, taken_in, taken_out)
        allowances, dimensions = effective.allowances, effective.dimensions
        self._limiter.adjust(
            [allowances[at] for at in settled], [parts[dimensions[at]] - costs[at] for at in settled], call.request_id
        )
        if self._waiting.count:
            self._waiting.wake()


def _worth_waiting(effective: Effective, standings: Sequence[Standing], seconds: float) -> bool:
    """Requests come back at a known time only; tokens and places may be given back before that."""
    at = decisive(standings)
    return effective.allowances[at].limit.dimension != "requests" or standings[at][2] <= seconds * 1_000_000


def _note(
    call: Call, effective: Effective, costs: Sequence[int], standings: Sequence[Standing], admitted: bool
) -> None:
    """("limit", id, amount, remaining before, taken): taken is 0 everywhere where one refused."""
    notes = call.notes
    for (name, amount, burst), cost, (remaining, _, _) in zip(effective.noted, costs, standings, strict=True):
        before = remaining + cost if admitted else remaining
        notes.append(("limit", name, amount, before if before < burst else burst, cost if admitted else 0))
