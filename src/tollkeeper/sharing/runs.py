"""A call's work on a task of its own, so that it outlasts the client who began it and others may get the same answer.

Rule 1: the work sees one presence, which leaves when the last client has left: whoever stays is served.
Rule 2: a run that fails before it has an answer fails for its leader only; whoever waited goes on without it.
Rule 3: a run is over after its call's last record is written. Only then it is known whether the answer was whole.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from tollkeeper.core.call import Call, Presence, Reply, Sink
from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Event
from tollkeeper.core.ports import Handler, Headers
from tollkeeper.sharing.recording import Listener, Recording, Room

_GOOD = ("ok", "cached", "client_left")
_TRY_AGAIN = frozenset((401, 408, 409, 425, 429))


def stopped() -> GateError:
    """For those who wait for a run that was cut off."""
    return GateError("The gate is shutting down.", code="shutting_down")


def _too_late() -> GateError:
    return GateError(
        "The time that this call was given is over.",
        status=504,
        type="timeout_error",
        code="deadline_exceeded",
        retryable=False,
        headers=((b"x-should-retry", b"false"),),
    )


def is_final(reply: Reply) -> bool:
    """Whether asking once more would bring the same: an answer, or a refusal that is the request's own fault."""
    if reply.status < 400:
        return True
    return reply.status < 500 and reply.status not in _TRY_AGAIN and (b"x-should-retry", b"true") not in reply.headers


class Run:
    """One call's work under way. Made by `Runs.begin`."""

    __slots__ = (
        "__weakref__",
        "_afterwards",
        "_attached",
        "_call_ended",
        "_complete",
        "_failure",
        "_leader",
        "_over",
        "_presence",
        "_present",
        "_told",
        "_worked",
        "call",
        "over",
        "recording",
        "reply",
        "task",
    )

    def __init__(self, call: Call, next: Handler, recording: Recording, over: "Callable[[Run], None]") -> None:
        self.call = call
        self.recording = recording
        self.reply: Reply | None = None
        self.over = False
        self._over = over
        self._afterwards: list[Callable[[Run], None]] = []
        self._failure: BaseException | None = None
        self._complete = False
        self._call_ended = False
        self._worked = False
        self._present: set[Listener] = set()
        self._attached = 0
        self._presence = Presence()
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leader = self._enter(call.presence)
        call.presence = self._presence
        call.on_end(self._on_call_end)
        self.task = asyncio.get_running_loop().create_task(self._work(next))

    # --- what became of it ------------------------------------------------------------------------------------------

    @property
    def event(self) -> Event | None:
        """The record of the attempt that answered; of several that of the last that was good."""
        events = self.call.events
        for event in reversed(events):
            if event.error_code is None and event.outcome in _GOOD:
                return event
        return events[-1] if events else None

    @property
    def complete(self) -> bool:
        """Whether the answer came to its true end and its record says so too."""
        event = self.event
        if not self._complete or event is None:
            return False
        return event.error_code is None and event.outcome in _GOOD

    @property
    def refused(self) -> bool:
        """Whether the provider refused for good: it would again."""
        reply = self.reply
        return self._complete and reply is not None and reply.status >= 400 and is_final(reply)

    def cut_short(self, ample: int) -> bool:
        """Whether a budget of its caller's made the answer shorter. Where that is not known yet: whether it allowed fewer
        output tokens than `ample`.
        """
        allowed = min(
            (note[2] for note in self.call.notes if note[0] == "clamped" and isinstance(note[2], int)), default=None
        )
        if allowed is None:
            return False
        event = self.event
        if self._worked and event is not None and event.quality == "reported":
            return event.usage.output_tokens >= allowed
        return allowed < ample

    @property
    def open(self) -> bool:
        """Whether others may still join: it has not failed, and its answer is here from the first byte on."""
        return self._failure is None and self.recording.whole

    def pieces(self) -> tuple[bytes, ...] | None:
        """The answer's body in its cuts; None where it was too large to keep."""
        reply = self.reply
        if reply is not None and reply.pour is None:
            return (reply.body,)
        return self.recording.pieces if self.recording.whole else None

    @property
    def worked(self) -> bool:
        """Whether its answer has come, or failed, and only its record is still being made."""
        return self._worked

    async def end(self) -> None:
        """Returns when it is over."""
        waiter = asyncio.get_running_loop().create_future()
        self.afterwards(lambda _: None if waiter.done() else waiter.set_result(None))
        await waiter

    def afterwards(self, callback: "Callable[[Run], None]") -> None:
        """Runs `callback` when it is over."""
        if self.over:
            callback(self)
        else:
            self._afterwards.append(callback)

    # --- for its clients --------------------------------------------------------------------------------------------

    async def lead(self) -> Reply:
        """The answer for the client who began it. Raises what the work raised."""
        await self._hear(self._leader)
        if self._failure is not None:
            raise self._failure
        assert self.reply is not None
        return self._reply_to(self._leader, self.reply.headers)

    async def join(
        self,
        presence: Presence,
        headers: Callable[[Headers], Headers],
        fits: "Callable[[Run], bool] | None" = None,
        seconds: float | None = None,
    ) -> Reply | None:
        """The same answer for another client, with other headers; None where none came that others can have.

        Raises GateError where none has begun within `seconds`.
        """
        listener = self._enter(presence)
        await self._hear(listener, seconds)
        if self.reply is None or not is_final(self.reply) or (fits is not None and not fits(self)):
            self._detach(listener)
            return None
        return self._reply_to(listener, headers(self.reply.headers))

    def _enter(self, presence: Presence) -> Listener:
        listener = self.recording.listen()
        self._attached += 1
        self._present.add(listener)
        presence.on_leave(partial(self._left, listener))
        return listener

    def _left(self, listener: Listener) -> None:
        self._present.discard(listener)
        if not self._present:
            self._presence.leave()

    async def _hear(self, listener: Listener, seconds: float | None = None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._told)
        except TimeoutError:
            self._detach(listener)
            self._left(listener)
            raise _too_late() from None
        except asyncio.CancelledError:
            self._detach(listener, cut_off=True)
            raise

    def _reply_to(self, listener: Listener, headers: Headers) -> Reply:
        reply = self.reply
        assert reply is not None
        if reply.pour is None:
            self._detach(listener)
            return Reply(reply.status, list(headers), reply.body)

        async def pour(sink: Sink) -> None:
            try:
                await self.recording.pour(listener, sink)
            except asyncio.CancelledError:
                self._detach(listener, cut_off=True)
                raise
            self._detach(listener)

        return Reply(reply.status, list(headers), pour=pour)

    def _detach(self, listener: Listener, *, cut_off: bool = False) -> None:
        """Nobody waits for it any more where all tasks that did were cut off: then it is cut off too."""
        self.recording.leave(listener)
        self._attached -= 1
        if cut_off and self._attached == 0 and not self._worked:
            self.task.cancel()

    # --- the work ---------------------------------------------------------------------------------------------------

    async def _work(self, next: Handler) -> None:
        try:
            reply = await next(self.call)
        except Exception as error:
            self._fail(error)
            return
        except BaseException:
            self._fail(stopped())
            raise
        self.reply = reply
        if reply.pour is None:
            self._done(True)
            self._told.set_result(None)
            return
        self._told.set_result(None)
        try:
            await reply.pour(self.recording)
        except Exception as error:
            self.recording.end(error)
            self._done(False)
        except BaseException:
            self.recording.end(stopped())
            self._done(False)
            raise
        else:
            self.recording.end()
            self._done(True)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self.recording.end()
        self._call_ended = True  # its leader ends it, who is told now
        self._done(False)
        self._told.set_result(None)

    def _done(self, complete: bool) -> None:
        self._complete = complete
        self._worked = True
        if not self.call.under_way:
            self._call_ended = True  # but for its reply: there is no record that is still to be written
        self._perhaps_over()

    def _on_call_end(self, _: Call) -> None:
        self._call_ended = True
        self._perhaps_over()

    def _perhaps_over(self) -> None:
        if self._worked and self._call_ended and not self.over:
            self.over = True
            self._over(self)
            afterwards, self._afterwards = self._afterwards, []
            for callback in afterwards:
                callback(self)


class Runs:
    """The runs under way. `most` is how many bytes they may keep together."""

    def __init__(self, most: int) -> None:
        self.room = Room(most)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, call: Call, next: Handler, most: int, over: Callable[[Run], None]) -> Run:
        """Begins the call's work. Others can join while its answer has no more than `most` bytes; `over` is told once."""
        run = Run(call, next, Recording(most, self.room), over)
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)
        return run

    async def finish(self) -> None:
        """Cuts off what is under way and waits until it has said so."""
        tasks: Sequence[asyncio.Task[None]] = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
