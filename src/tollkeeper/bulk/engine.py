"""Rows asked through this process's own flow: same keys, budgets and ledger as a call at the door, without the door."""

from collections.abc import Awaitable, Callable

from tollkeeper.bulk.shaping import Request
from tollkeeper.bulk.tries import Answer
from tollkeeper.core.call import Call, Presence, Reply
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Handler
from tollkeeper.dialects import openai_errors, openai_request
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.wire import json_text, rate_headers

_JSON = (b"content-type", b"application/json")


class Engine:
    """Implements `running.Ask`."""

    def __init__(
        self, handle: Handler, key: Key, *, job: str, new_id: Callable[[], str], now: Clock, monotonic: Clock
    ) -> None:
        self._handle = handle
        self.key = key
        """Whose calls these are; may be replaced before the first one."""
        self._job = job.encode()
        self._new_id = new_id
        self._now = now
        self._monotonic = monotonic

    async def __call__(self, request: Request, attempt: int) -> Answer:
        """The row's answer or error, and what it cost whatever came of it. Cancelled, it leaves like a client does."""
        presence = Presence()
        found = endpoint(request.path, "POST")
        model, streamed = None, False
        call = Call(  # by place: to find the names of so many fields costs as much as all the rest of it
            self._new_id(),
            self.key,
            found.dialect,
            "POST",
            found.path,
            b"",
            [_JSON],
            request.body,
            model,
            streamed,
            self._monotonic(),
            presence,
            patient=False,  # the runner waits without a slot, and must see refusals to find the provider's limits
            metered=found.metered,
            bare=True,
        )
        try:
            if request.model is None:
                call.members = json_text.members(request.body)
                call.model = found.model or openai_request.string(call.members, "model")
            else:
                call.members, call.model = request.members, found.model or request.model
            reply = await self._handle(call)
            body = reply.body if reply.pour is None else await _poured(reply)
            status, headers = reply.status, reply.headers
        except TollkeeperError as error:
            status, headers, body = error.status, list(error.headers), openai_errors.body(error)
        except BaseException:
            presence.leave()
            raise
        cost, used = None, None
        for event in call.events:
            if event.cost_nano is not None:
                cost = event.cost_nano + (cost or 0)
            used = event.usage.input_tokens + event.usage.output_tokens + (used or 0)
        return Answer(status, body, cost, call.request_id, rate_headers.read(headers, self._now()), used)


class _Sink:
    """Collects what is poured."""

    blocked: Awaitable[None] | None = None

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


async def _poured(reply: Reply) -> bytes:
    assert reply.pour is not None
    sink = _Sink()
    await reply.pour(sink)
    return b"".join(sink.pieces)
