"""Answers a call with what the same request was answered before, or is being answered just now.

Rule 1: the same request is the same bytes to the same targets for the same tenant: a team, else an owner, else a key.
Rule 2: only whole answers are kept, after their true end; what broke off, failed or was refused never is.
Rule 3: of equal calls at one time one goes out. Where it fails before it has an answer, the next one goes, not all.
Rule 4: whoever gets an answer without a provider has a record of it, which costs nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from tollkeeper.core.account import Target
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft
from tollkeeper.core.kept import Kept
from tollkeeper.core.ports import Answers, Handler, Headers
from tollkeeper.policies.cache.cacheable import HEADER, CacheOptions, ModelCache, cacheable, left_out, sound, wish
from tollkeeper.sharing import fingerprint
from tollkeeper.sharing.receipts import FREE, Receipts, headers_for_others, kept, reply_from
from tollkeeper.sharing.runs import Run, Runs

ORDER = 400
_AMPLE = 4096
"""Output tokens. A caller's budget that allows so many hardly ever cuts an answer short; if it does, the answer says so."""
_NEVER_AMPLE = 1 << 62
TargetsOf = Callable[[Call], Sequence[Target]]
"""Where a call would go. Raises CallerError where it cannot be said."""


class _Terms(Struct, frozen=True):
    """How one call may use the cache."""

    ttl: float
    oldest: float
    """Seconds; no older answer will do."""
    shared: bool
    look: bool


class Cache:
    """Opt-in by model or by header. `configure` takes effect for calls that come after."""

    def __init__(
        self,
        answers: Answers,
        runs: Runs,
        receipts: Receipts,
        targets_of: TargetsOf,
        models: Mapping[str, ModelCache],
        options: CacheOptions,
    ) -> None:
        self._answers = answers
        self._runs = runs
        self._receipts = receipts
        self._targets_of = targets_of
        self._under_way: dict[bytes, Run] = {}
        self.configure(models, options)

    def configure(self, models: Mapping[str, ModelCache], options: CacheOptions) -> None:
        """The models whose answers are kept, by name, and the bounds."""
        self._models = dict(models)
        self._options = options

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        model = self._models.get(call.model or "")
        asked = call.named.get(HEADER)
        if model is None and asked is None:
            return next(call)
        return self._answer(call, next, model, asked)

    async def _answer(self, call: Call, next: Handler, model: ModelCache | None, asked: bytes | None) -> Reply:
        terms = self._terms(model, asked)
        if terms is None or not cacheable(call):
            return await next(call)
        name = self._name(call, terms.shared)
        if call.dry:
            return await self._evaluated(call, next, name, terms)
        self._receipts.check()
        while terms.look:
            answer = await self._found(name, terms)
            if answer is not None:
                return self._hit(call, answer)
            run = self._under_way.get(name)
            if run is None or not run.open:
                break
            if run.worked:
                await run.end()  # it is in memory then, or was not whole
                continue
            reply = await self._joined(call, name, run)
            if reply is not None:
                return reply
        return await self._lead(call, next, name, terms.ttl)

    def _terms(self, model: ModelCache | None, asked: bytes | None) -> _Terms | None:
        """None where nothing is to be kept or looked for."""
        if asked is None or not self._options.header:
            return None if model is None else _Terms(model.ttl, model.ttl, model.shared, True)
        wanted = wish(asked)
        ttl = wanted.ttl
        if ttl is not None:
            ttl = min(ttl, self._options.max_ttl)
        elif model is not None:
            ttl = model.ttl
        if ttl is None or not wanted.keep:
            return None
        return _Terms(ttl, ttl, model is not None and model.shared, wanted.look)

    def _name(self, call: Call, shared: bool) -> bytes:
        targets: list[bytes] = []
        for target in self._targets_of(call):
            account = target.account
            targets += (account.name.encode(), account.provider.base_url.encode(), (target.model or "").encode())
        digest = fingerprint.digest
        return digest(
            (
                b"" if shared else call.key.tenant.encode(),
                digest(targets),
                digest(fingerprint.header_parts(call)),
                digest(fingerprint.request_parts(call, left_out(call))),
            )
        )

    async def _found(self, name: bytes, terms: _Terms) -> Kept | None:
        answer = await self._answers.get(name)
        if answer is None or self._receipts.monotonic() - answer.at > terms.oldest:
            return None
        return answer

    async def _evaluated(self, call: Call, next: Handler, name: bytes, terms: _Terms) -> Reply:
        answer = await self._found(name, terms) if terms.look else None
        call.notes.append(("cache", "miss", 0) if answer is None else ("cache", "hit", answer.cost_nano))
        return await next(call)

    def _hit(self, call: Call, answer: Kept) -> Reply:
        age = int(self._receipts.monotonic() - answer.at)
        call.notes.append(("cache", "hit", answer.cost_nano))
        self._receipts.of_kept(call, answer)
        return reply_from(answer, [*FREE, (HEADER, b"hit"), (b"age", b"%d" % age)])

    async def _joined(self, call: Call, name: bytes, run: Run) -> Reply | None:
        reply = await run.join(call.presence, _coalesced, _fits, self._receipts.seconds_left(call))
        if reply is None:
            self._forget(name, run)
            if call.presence.gone:
                raise ClientLeft("The client left.")
            return None
        call.notes.append(("cache", "coalesced", 0))
        self._receipts.when_over(call, run)
        return reply

    def _forget(self, name: bytes, run: Run) -> None:
        """Nobody else joins it."""
        if self._under_way.get(name) is run:
            del self._under_way[name]

    async def _lead(self, call: Call, next: Handler, name: bytes, ttl: float) -> Reply:
        call.notes.append(("cache", "miss", 0))
        stored: list[bool] = []
        run = self._runs.begin(call, next, self._options.max_answer_bytes, partial(self._over, name, ttl, stored))
        self._under_way[name] = run
        reply = await run.lead()
        reply.headers.append((HEADER, b"stored" if stored else b"miss"))
        return reply

    def _over(self, name: bytes, ttl: float, stored: list[bool], run: Run) -> None:
        self._forget(name, run)
        if not run.complete or run.reply is None or run.reply.status != 200 or run.cut_short(_NEVER_AMPLE):
            return
        pieces = run.pieces()
        if pieces is None or sum(map(len, pieces)) > self._options.max_answer_bytes:
            return
        is_stream = run.reply.pour is not None
        if is_stream and not _is_event_stream(run.reply.headers):
            return  # relayed unread: nobody knows whether it is sound
        if not _fits(run):
            return
        self._answers.put(name, kept(run, pieces, self._receipts.monotonic()), ttl)
        stored.append(True)


def _fits(run: Run) -> bool:
    """Whether a run's answer is one for others too, as far as can be said before its end."""
    reply = run.reply
    if reply is None or run.cut_short(_AMPLE):
        return False
    return reply.status >= 400 or reply.pour is not None or sound(reply.body)


def _coalesced(headers: Headers) -> Headers:
    return [*headers_for_others(headers), *FREE, (HEADER, b"coalesced")]


def _is_event_stream(headers: Headers) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
