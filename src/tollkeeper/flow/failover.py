"""A call's attempts, one after another, until one is answered or none may be made any more.

Rule 1: until an answer is begun, the caller has got nothing, and whatever ends badly may be tried elsewhere.
Rule 2: every target that is well is asked once before any is asked again; who was silent or broken is not asked twice.
Rule 3: an attempt at what has failed before is paid for from its upstream's retry budget.
Rule 4: a caller that has left, or whose time is up, ends it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from tollkeeper.core.account import Patience
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft, GateError, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Line
from tollkeeper.flow.attempt import Attempt
from tollkeeper.flow.choosing import Choice, Member, Pool, choose
from tollkeeper.flow.health import STALE, Health, TargetHealth
from tollkeeper.flow.retries import RetryOptions, after_rest, backoff
from tollkeeper.flow.sending import Sending
from tollkeeper.flow.verdicts import Verdict, judged, may_repeat

NOT_HERE = frozenset(("price_unknown", "unsupported_parameter", "endpoint_not_found"))
"""Refusals of ours that are about one target."""
_ATTEMPTS = b"x-tollkeeper-attempts"
_SPARE = 0.05
"""Seconds of a deadline that are kept for the way back."""


class Failover:
    """One gate's. `options` may be replaced at any time."""

    def __init__(
        self,
        sending: Sending,
        health: Health,
        options: RetryOptions,
        *,
        price: Callable[[Pool], Pool],
        draw: Callable[[], float],
        now: Clock,
        monotonic: Clock,
    ) -> None:
        self.options = options
        self.retried: Counter[tuple[str, ...]] = Counter()
        """Attempts after a call's first, by the account that they went to."""
        self._sending = sending
        self._health = health
        self._price = price
        self._draw = draw
        self._now = now
        self._monotonic = monotonic

    async def __call__(self, call: Call, pool: Pool, first: int = 1) -> Reply:
        """The reply of the first attempt that is answered, or the best of the bad ones; `first` is the number of the first.

        Raises TollkeeperError.
        """
        seconds = self.options.deadline
        if call.timeout is not None:
            seconds = call.timeout if seconds is None else min(seconds, call.timeout)
        until = None if seconds is None else call.accepted_at + seconds - _SPARE
        now = self._monotonic()
        member = pool.members[0]
        if not pool.single:
            choice = self.candidates(call, pool)
            member = choice.order[0]
            call.notes.append(("target", member.name, choice.reason))
            if choice.skipped:
                call.notes += [("skipped", skipped.name, reason) for skipped, reason in choice.skipped]
        elif member.full:
            raise _busy(call, pool)
        attempt = self._attempt(call, member, first, until, now)
        state = attempt.state = member.state
        state.account.budget.earn(self.options.budget)
        attempt.probe = state.begin(now)
        end: Reply | TollkeeperError
        try:  # as in `_made`, but without a coroutine of its own: most calls have no other attempt
            end = await self._sending.send(attempt)
            if end.status < 400 and attempt.error_said is None:
                return end
        except BaseException as error:
            end = _unanswered(attempt, state, error)
        try:
            return await _Rescue(self, call, pool, until).run(attempt, member, end)
        finally:
            del end  # an error refers to the frames that it came through: they must not refer to it

    def over(self, call: Call, line: Line) -> Awaitable[Reply]:
        """The reply over a line that is open already: one attempt, as nobody else knows what was said on it."""
        return self._sending.send(self._sending.attempt(call, line.target, 1))

    def candidates(self, call: Call, pool: Pool) -> Choice:
        """Who would be asked, were the call made now. Raises GateError where nobody has room."""
        choice = self._chosen(call, pool, self._monotonic())
        if not choice.order:
            raise _busy(call, pool)
        return Choice(choice.order, "the only one", []) if pool.single else choice

    def _chosen(self, call: Call, pool: Pool, now: float) -> Choice:
        balancing = pool.balancing
        if balancing.strategy == "least-cost":
            self._price(pool)
        session = session_of(call) if balancing.affinity else None
        return choose(pool, self._health.options, now, self._draw, streamed=call.streamed, session=session)

    def _attempt(self, call: Call, member: Member, number: int, until: float | None, now: float) -> Attempt:
        """One that must be over by `until` (monotonic). Raises GateError where that is now."""
        timeouts = None if until is None else _within(until - now, member)
        attempt = self._sending.attempt(call, member.target, number, timeouts)
        attempt.until = until
        return attempt

    async def _made(self, attempt: Attempt, member: Member, now: float) -> Reply | TollkeeperError:
        """How the attempt ended. What is no TollkeeperError passes through."""
        state = attempt.state = member.state
        attempt.probe = state.begin(now)
        try:
            return await self._sending.send(attempt)
        except BaseException as error:
            return _unanswered(attempt, state, error)


class _Rescue:
    """What is done for one call whose first attempt ended badly."""

    def __init__(self, failover: Failover, call: Call, pool: Pool, until: float | None) -> None:
        self._failover = failover
        self._call = call
        self._pool = pool
        self._until = until
        self._asked: dict[Member, Verdict] = {}
        self._best: Reply | TollkeeperError | None = None
        self._broken = 0
        self._again = 0
        self._replaced = False
        self._made = 0
        """Attempts that were sent or at least begun to be."""

    async def run(self, attempt: Attempt, member: Member, end: Reply | TollkeeperError) -> Reply:
        """The reply in the end. Raises TollkeeperError where there is none."""
        failover, call = self._failover, self._call
        try:
            while True:
                if isinstance(end, Reply) and end.status < 400 and attempt.error_said is None:
                    return end
                if not attempt.dispatched:  # refused by a budget, by the ledger, or for its shape: no provider's fault
                    self._best = self._best or end
                    other = self._other(member, end)
                    if other is None:
                        return self._answer(self._best)
                    member, now = other, failover._monotonic()
                    attempt = failover._attempt(call, member, attempt.hold.attempt, self._until, now)
                    end = await failover._made(attempt, member, now)
                    continue
                self._made = attempt.hold.attempt
                attempt.given_up(failover._monotonic())
                verdict = self._judge(attempt, member, end)
                if verdict.next == "answer" or call.presence.gone or not self._falls_back(attempt, end):
                    return self._answer(end)
                if self._best is None or not isinstance(self._best, Reply) or isinstance(end, Reply):
                    self._best = end
                if failover.options.retries == 0 or self._broken > 1:
                    return self._answer(self._best)
                answered = attempt.answer.status if attempt.answer is not None else 0
                if not may_repeat(call, sent=attempt.sent, status=answered):
                    return self._answer(self._best)
                stale = attempt.reused and verdict.code in STALE and not self._replaced
                self._replaced = self._replaced or stale
                found = (member, 0.0) if stale else self._next()
                while found is not None:
                    member, wait = found
                    if wait > 0:
                        await _sleep(call, wait)
                    if not member.full:
                        break
                    found = self._next()  # others have taken its last place meanwhile
                if found is None:
                    return self._answer(self._best)
                now = failover._monotonic()
                if self._until is not None and now >= self._until:
                    return self._answer(self._best)
                call.notes.append(("target", member.name, f"after {verdict.code}"))
                failover.retried[member.target.account.name,] += 1
                attempt = failover._attempt(call, member, self._made + 1, self._until, now)
                end = await failover._made(attempt, member, now)
        finally:
            self._best = None
            del end  # see above

    def _falls_back(self, attempt: Attempt, end: Reply | TollkeeperError) -> bool:
        """Whether the pool's own rule, where it has one, lets another target be asked."""
        rule = self._pool.balancing.fallback
        if rule is None:
            return True
        if rule.attempts is not None and self._made >= rule.attempts:
            return False
        if rule.within is not None and self._failover._monotonic() - self._call.accepted_at > rule.within:
            return False
        answered = attempt.answer.status if attempt.answer is not None else 0
        if 400 <= answered < 500:
            return answered == 429 and "http_429" in rule.after
        return ("http_429" if attempt.error_said == "429" else "http_5xx") in rule.after

    def _other(self, member: Member, end: Reply | TollkeeperError) -> Member | None:
        """Who is asked in place of a target that could not be: a budget refused it for its price, which of another may be
        known, or its dialect has no place for what is asked, which another's may have."""
        if isinstance(end, Reply) or end.code not in NOT_HERE:
            return None
        self._asked[member] = Verdict("elsewhere", end.code or "")
        self._call.notes.append(("skipped", member.name, end.code))
        order = self._failover._chosen(self._call, self._pool, self._failover._monotonic()).order
        return next((each for each in order if each not in self._asked), None)

    def _judge(self, attempt: Attempt, member: Member, end: Reply | TollkeeperError) -> Verdict:
        failover = self._failover
        answer = attempt.answer
        verdict = judged(
            end,
            answer.status if answer is not None else 0,
            answer.headers if answer is not None else [],
            attempt.error_said,
            failover._now(),
            self._pool.balancing.fall_back_on,
        )
        now, state = failover._monotonic(), member.state
        if verdict.rate:
            state.cool(verdict.wait, now)
        if verdict.key_refused:
            state.rest_key(now)
        if verdict.ill:
            state.stumbled(now, attempt.probe)
        self._broken += verdict.broken
        self._asked[member] = verdict
        return verdict

    def _next(self) -> tuple[Member, float] | None:
        """Who is asked next, and after how many seconds; None: nobody."""
        failover, pool = self._failover, self._pool
        options = failover.options
        now = failover._monotonic()
        order = failover._chosen(self._call, pool, now).order
        for member in order:
            if member in self._asked:
                continue
            state = member.state
            if not state.failures and not state.ejected_until:
                state.account.budget.owe()
                return member, 0.0
            if state.account.budget.take(now, options.least):
                return member, 0.0
        if self._again >= options.retries or not self._call.patient or pool.balancing.fallback is not None:
            return None
        for member in order:
            verdict = self._asked.get(member)
            if verdict is None or verdict.next != "anywhere":
                continue
            wait = backoff(options, self._again, failover._draw)
            rest = member.state.cooled_until - now
            if rest > 0 and verdict.wait is not None:
                wait = max(wait, after_rest(rest, failover._draw))
            too_long = wait > options.cap if self._until is None else now + wait >= self._until
            if too_long:
                continue
            if member.state.account.budget.take(now, options.least):
                self._again += 1
                return member, wait
        return None

    def _answer(self, end: Reply | TollkeeperError) -> Reply:
        """The end that the caller gets, with the number of attempts that there were."""
        number = (_ATTEMPTS, b"%d" % self._made)
        if isinstance(end, Reply):
            if self._made > 1:
                end.headers = [number if name == _ATTEMPTS else (name, value) for name, value in end.headers]
            return end
        if isinstance(end, UpstreamError):
            end.headers = (*end.headers, number)
        try:
            raise end from None
        finally:
            del end


def _unanswered(attempt: Attempt, state: TargetHealth, error: BaseException) -> TollkeeperError:
    """How an attempt ended that raised. Raises again what is no TollkeeperError."""
    if not attempt.dispatched:
        state.unsent(attempt.probe)
    if not isinstance(error, TollkeeperError):
        raise error
    return error


def session_of(call: Call) -> str | None:
    """What tells the calls of one conversation from others: the header, or a member that OpenAI has for such ends."""
    if call.session is not None:
        return call.session
    for name in ("prompt_cache_key", "safety_identifier", "user"):
        value = call.members.get(name)
        if value is not None and bytes(value) not in (b"null", b'""'):
            return bytes(value).decode("utf-8", "replace")
    return None


def _within(seconds: float, member: Member) -> Patience:
    """The account's timeouts, to connect and in all no longer than that. Raises GateError where nothing is left."""
    if seconds <= 0:
        raise GateError(
            "The time that this call was given is over.",
            status=504,
            type="timeout_error",
            code="deadline_exceeded",
            retryable=False,
            headers=((b"x-should-retry", b"false"),),
        )
    own = member.target.account.timeouts
    return Patience(
        connect=min(own.connect, seconds),
        send=own.send,
        first_byte=own.first_byte,
        idle=own.idle,
        total=min(own.total, seconds),
    )


def _busy(call: Call, pool: Pool) -> GateError:
    call.notes += [("skipped", member.name, "full") for member in pool.members]
    return GateError(
        f"Every target of the model '{call.model}' has as many calls as it may have.",
        code="targets_busy",
        headers=((b"retry-after", b"1"),),
    )


async def _sleep(call: Call, seconds: float) -> None:
    """Raises ClientLeft as soon as nobody waits any more."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def wake() -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(seconds, wake)
    call.presence.on_leave(wake)
    try:
        await over
    finally:
        timer.cancel()
    if call.presence.gone:
        raise ClientLeft("The client left.")
