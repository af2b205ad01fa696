"""One client's conversation: its messages are admitted, routed and answered, several side by side. Knows no transport.

Rule 1: `take` neither waits nor raises: whatever a client sends becomes an answer, an error that it can read, or the end.
Rule 2: each answer has a presence of its own: a client who leaves leaves all of them, one who cancels leaves that one.
Rule 3: a writer that is slow stops whoever writes to it: nothing is kept here but what one message said.
"""

import asyncio

from tollkeeper.core.call import Presence, Sink
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError
from tollkeeper.core.keys import Key
from tollkeeper.sockets import formats, messages
from tollkeeper.sockets.admission import GOING_AWAY, Admission, Close
from tollkeeper.sockets.asking import Ask, Listener, Topic, question
from tollkeeper.sockets.lobby import CANCEL, FORGET, SEND, Lobby
from tollkeeper.sockets.memory import Memory
from tollkeeper.sockets.messages import Asked
from tollkeeper.sockets.options import Format
from tollkeeper.sockets.under_way import UnderWay


class _Answer:
    """One under way."""

    __slots__ = ("ask", "listener", "task")

    def __init__(self, ask: Ask, listener: Listener) -> None:
        self.ask = ask
        self.listener = listener
        self.task: asyncio.Task[None] | None = None


class Session:
    """One socket's. `leave` when the client is gone, then `ended` to let what is under way settle."""

    __slots__ = (
        "_admission",
        "_close",
        "_format",
        "_lobby",
        "_memory",
        "_running",
        "_turn",
        "_under_way",
        "id",
    )

    def __init__(
        self, lobby: Lobby, key: Key, format: Format, sink: Sink, close: Close, memory: Memory | None = None
    ) -> None:
        """`memory`: what was said before, where that was not on this socket's own watch."""
        self.id = lobby.new_id()
        self._lobby = lobby
        self._admission = Admission(key, lobby.caps, lobby.current, close)
        self._format = formats.writer(format, sink, lobby.options.end)
        self._close = close
        self._running: dict[str, _Answer] | None = None
        self._under_way: UnderWay | None = None
        self._memory = memory
        self._turn: asyncio.Lock | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    # --- from the transport -----------------------------------------------------------------------------------------

    def take(self, message: str | bytes) -> None:
        """One message of the client's."""
        asked: Asked | None = None
        try:
            self._admission.admit()
            if isinstance(message, bytes):
                raise CallerError("Messages are text: JSON objects. This one is binary.", code="binary_message")
            asked = messages.read(message)
            self._act(asked)
        except TollkeeperError as error:
            self._format.error(None if asked is None else asked.id, failure_of(error))

    def leave(self) -> None:
        """The client is gone."""
        for answer in list((self._running or {}).values()):
            answer.listener.muted = True
            answer.ask.presence.leave()

    def cancel(self, id: str | None) -> None:
        """Ends the answer to that request, or all, as if its client had said so; nothing where it is not under way."""
        if id is None or id in (self._running or {}):
            self._cancel(id)

    def stop(self) -> None:
        """The gate is being stopped: nothing new is begun, and the socket closes after what is under way."""
        self._admission.stopping = True
        self._close_if_done()

    async def ended(self) -> None:
        """Waits for all that is under way. If cancelled, cancels it."""
        if self._under_way is not None:
            await self._under_way.ended()

    # --- one message ------------------------------------------------------------------------------------------------

    def _act(self, asked: Asked) -> None:
        topics = self._lobby.topics
        if asked.action == CANCEL and CANCEL not in topics:
            self._cancel(asked.id)
        elif asked.action == FORGET and FORGET not in topics:
            if self._memory is not None:
                self._memory.forget()
        else:
            action, topic = self._lobby.topic(asked.action)
            self._begin(asked, topic, remembers=action == SEND)

    def _begin(self, asked: Asked, topic: Topic, remembers: bool) -> None:
        lobby = self._lobby
        if self._running is None or self._under_way is None:
            self._running, self._under_way = {}, UnderWay()
        most = lobby.options.limits.answers
        if len(self._running) >= most:
            raise CallerError(
                f"{most} answers are under way on this socket, as many as may be.",
                status=429,
                type="requests",
                code="too_many_answers",
            )
        request_id = lobby.new_id()
        id = asked.id or request_id
        if id in self._running:
            raise CallerError(
                f"A request with the id '{id}' is under way.", status=409, code="request_id_taken", param="id"
            )
        memory = self._remembered() if remembers else None
        ask = Ask(
            key=self._admission.key,
            id=id,
            request_id=request_id,
            data=asked.data,
            model=asked.model,
            presence=Presence(),
            accepted_at=lobby.monotonic(),
            session=self.id,
            history=[] if memory is None else memory.messages(),
        )
        answer = self._running[id] = _Answer(
            ask, Listener(ask, self._format, keep=0 if memory is None else lobby.options.memory_bytes)
        )
        answer.task = asyncio.get_running_loop().create_task(self._answer(answer, topic, memory))
        self._under_way.add(answer.task, ask.presence)
        answer.task.add_done_callback(self._over)

    def _remembered(self) -> Memory | None:
        options = self._lobby.options
        if options.memory and self._memory is None:
            self._memory = Memory(options.memory, options.memory_bytes)
        return self._memory

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._under_way is not None:
            self._under_way.remove(task)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._admission.stopping and not self.busy:
            self._close(GOING_AWAY, "The gate is shutting down.")

    # --- one answer -------------------------------------------------------------------------------------------------

    async def _answer(self, answer: _Answer, topic: Topic, memory: Memory | None) -> None:
        if not self._format.sequential:
            await self._speak(answer, topic, memory)
            return
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if not answer.ask.presence.gone:
                await self._speak(answer, topic, memory)

    async def _speak(self, answer: _Answer, topic: Topic, memory: Memory | None) -> None:
        ask, listener = answer.ask, answer.listener
        try:
            await topic.answer(ask, listener)
            if memory is not None and listener.failure is None and not listener.muted:
                text, said = question(ask), listener.said
                if text is not None and said is not None:
                    memory.add(text, said)
        except ClientLeft:
            listener.muted = True
        except TollkeeperError as error:
            listener.fail(error)
        except Exception as error:
            self._lobby.on_error(ask.request_id, error)
            listener.fail(TollkeeperError(f"The gate failed. Request id: {ask.request_id}.", code="internal_error"))
        finally:
            self._forget(answer)
            listener.end()

    def _cancel(self, id: str | None) -> None:
        """One answer, or all where no id is given."""
        running = self._running or {}
        if id is not None and id not in running:
            raise CallerError(f"No request with the id '{id}' is under way.", status=404, code="not_found", param="id")
        for answer in list(running.values()) if id is None else [running[id]]:
            answer.listener.stop()
            self._forget(answer)
            answer.ask.presence.leave()

    def _forget(self, answer: _Answer) -> None:
        if self._running is not None and self._running.get(answer.ask.id) is answer:
            del self._running[answer.ask.id]
