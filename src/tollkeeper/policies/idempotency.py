"""A client's retry is the call that it repeats: with the same Idempotency-Key it gets the same answer, charged once.

As the draft has it (draft-ietf-httpapi-idempotency-key-header), but for one thing: a retry that comes while the first
request is under way waits for it and gets its answer as it comes, rather than a 409. openai-python 0.28 repeats a 409
without end, and what a client that lost its connection wants is that very answer.

Rule 1: what failed and can be tried again is forgotten at once, so that a retry is one.
Rule 2: whatever was answered whole is remembered, though its client had left.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import CallerError, ClientLeft
from tollkeeper.core.kept import Kept
from tollkeeper.core.limits import Positive, Seconds
from tollkeeper.core.ports import Answers, Handler, Headers
from tollkeeper.sharing import fingerprint
from tollkeeper.sharing.receipts import FREE, Receipts, headers_for_others, kept, reply_from
from tollkeeper.sharing.runs import Run, Runs

ORDER = 350
_HEADER = b"idempotency-key"
_REPLAYED = (b"idempotent-replayed", b"true")
_LONGEST = 255


class IdempotencyOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[idempotency]"""

    ttl: Seconds = 86_400.0
    """How long an answer is remembered."""
    max_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    """Of remembered answers; the one that was not asked for longest goes first. Those under way may take as much again."""
    max_answer_bytes: Positive = 8 * 1024 * 1024
    """Of a larger answer only that there was one is remembered: a retry is refused."""
    max_answers: Positive = 10_000


class Idempotency:
    """Always on for POST requests that have the header, each key for itself."""

    def __init__(self, answers: Answers, runs: Runs, receipts: Receipts, options: IdempotencyOptions) -> None:
        self.options = options
        self._answers = answers
        self._runs = runs
        self._receipts = receipts
        self._under_way: dict[bytes, tuple[Run, bytes]] = {}

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        given = call.named.get(_HEADER)
        if given is None or call.method != "POST":
            return next(call)
        return self._once(call, next, given)

    async def _once(self, call: Call, next: Handler, given: bytes) -> Reply:
        if not 0 < len(given) <= _LONGEST:
            raise CallerError(
                f"Idempotency-Key takes 1 to {_LONGEST} characters.", code="invalid_value", param="idempotency-key"
            )
        name = fingerprint.digest((call.key.id.encode(), given))
        request = fingerprint.digest(fingerprint.request_parts(call))
        short = name.hex()[:16]
        if not call.dry:
            self._receipts.check()
        while True:
            answer = await self._answers.get(name)
            if answer is not None:
                _refuse_another(answer.request, request)
                if call.dry:
                    call.notes.append(("idempotency", "replayed", short))
                    return await next(call)
                return self._replayed(call, answer, short)
            run, first = self._under_way.get(name, (None, b""))
            if run is None:
                break
            _refuse_another(first, request)
            if run.worked:
                await run.end()  # it is in memory then, or was not whole
                continue
            if not run.open:
                raise _too_large()
            if call.dry:
                call.notes.append(("idempotency", "replayed", short))
                return await next(call)
            reply = await run.join(call.presence, _for_a_retry, seconds=self._receipts.seconds_left(call))
            if reply is not None:
                call.notes.append(("idempotency", "replayed", short))
                self._receipts.when_over(call, run)
                return reply
            self._forget(name, run)
            if call.presence.gone:
                raise ClientLeft("The client left.")
        call.notes.append(("idempotency", "first", short))
        call.idempotency = short
        if call.dry:
            return await next(call)
        run = self._runs.begin(call, next, self.options.max_answer_bytes, partial(self._over, name, request))
        self._under_way[name] = (run, request)
        return await run.lead()

    def _replayed(self, call: Call, answer: Kept, short: str) -> Reply:
        if answer.pieces is None:
            raise _too_large()
        call.notes.append(("idempotency", "replayed", short))
        self._receipts.of_kept(call, answer)
        return reply_from(answer, [*FREE, _REPLAYED])

    def _forget(self, name: bytes, run: Run) -> None:
        if self._under_way.get(name, (None, b""))[0] is run:
            del self._under_way[name]

    def _over(self, name: bytes, request: bytes, run: Run) -> None:
        self._forget(name, run)
        if run.event is None or not (run.complete or run.refused):
            return
        pieces = run.pieces()
        if pieces is not None and sum(map(len, pieces)) > self.options.max_answer_bytes:
            pieces = None
        self._answers.put(name, kept(run, pieces, self._receipts.monotonic(), request), self.options.ttl)


def _for_a_retry(headers: Headers) -> Headers:
    return [*headers_for_others(headers), *FREE, _REPLAYED]


def _refuse_another(first: bytes, request: bytes) -> None:
    if first != request:
        raise CallerError(
            "This Idempotency-Key was used for another request. Use a new one for each request.",
            status=422,
            code="idempotency_key_reused",
            param="idempotency-key",
            headers=((b"x-should-retry", b"false"),),
        )


def _too_large() -> CallerError:
    return CallerError(
        "The request with this Idempotency-Key has been served, but its answer was too large to be kept. To be served and "
        "charged again, use a new key.",
        status=422,
        code="idempotency_answer_too_large",
        param="idempotency-key",
        headers=((b"x-should-retry", b"false"),),
    )
