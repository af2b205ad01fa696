"""OpenAI's Realtime API: a client's socket and a provider's, joined; each response on it is a call of its own.

Rule 1: what is no response passes as it is, both ways, in order.
Rule 2: a response that the client asks for is held before it is asked for. One that the provider begins by itself (it heard
        the end of a sentence) is held when it has begun; where it may not be, it is cancelled and its words are kept back.
Rule 3: a socket that ends on one side ends on the other, after what is under way has been settled.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
from msgspec import Raw

from tollkeeper.core import redaction
from tollkeeper.core.account import Target
from tollkeeper.core.call import Call, Presence, Sink
from tollkeeper.core.errors import CallerError, ClientLeft, GateError, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.keys import Key
from tollkeeper.core.ports import Duplex, Handler
from tollkeeper.dialects import openai_realtime
from tollkeeper.dialects.openai_realtime import DONE, TRANSCRIBED, error_event, seen
from tollkeeper.sockets.admission import GOING_AWAY, Admission, Close
from tollkeeper.sockets.turns import Turn
from tollkeeper.sockets.under_way import UnderWay
from tollkeeper.sockets.unframing import Messages

_ENDINGS = range(3000, 5000)
"""Close codes of a provider's own, which the client may know; others become INTERNAL."""
INTERNAL, NORMAL = 1011, 1000
_encode = msgspec.json.encode


class RealtimeSession:
    """One pair of sockets. `take` never raises; `leave`, then `ended`."""

    def __init__(
        self,
        handle: Handler,
        target: Target,
        socket: Duplex,
        admission: Admission,
        sink: Sink,
        close: Close,
        *,
        model: str,
        most: int,
        new_id: Callable[[], str],
        monotonic: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._handle = handle
        self._target = target
        self._socket = socket
        self._admission = admission
        self._sink = sink
        self._close = close
        self._model = model
        self._most = most
        self._new_id = new_id
        self._monotonic = monotonic
        self._on_error = on_error
        self._session = new_id()
        self._transcriber: str | None = None
        """The model that writes down what is heard, as far as the session has said."""
        self._asked: deque[Turn] = deque()
        """Responses that were asked for and have not begun."""
        self._turns: dict[str, Turn] = {}
        self._calls = UnderWay()
        self._secret = redaction.sought(target.account.secret)
        self._relaying = asyncio.get_running_loop().create_task(self._relay())

    @property
    def busy(self) -> bool:
        """Whether a response is under way."""
        return bool(self._calls)

    # --- from the client --------------------------------------------------------------------------------------------

    def take(self, message: str | bytes) -> "asyncio.Future[None] | asyncio.Task[None] | None":
        """One message of the client's; to be awaited, where it has to wait for its turn."""
        try:
            key = self._admission.check()
            if isinstance(message, bytes):
                raise CallerError("Messages are text: JSON objects. This one is binary.", code="binary_message")
            text = message.encode("utf-8", "surrogatepass")
            try:
                found = seen(text)
            except (msgspec.DecodeError, RecursionError):
                raise CallerError("We could not parse the message as a JSON event.", code="invalid_json") from None
            if found.type == "response.create":
                return asyncio.ensure_future(self._ask(key, text, found.event_id))
        except TollkeeperError as error:
            self._sink.write(_encode(error_event(error)))
            return None
        self._socket.send(text)
        blocked = self._socket.blocked
        return None if blocked is None else asyncio.ensure_future(blocked)

    def leave(self) -> None:
        """The client is gone."""
        self._calls.leave()

    def stop(self) -> None:
        """The gate is being stopped: the socket closes after what is under way."""
        self._admission.stopping = True
        self._close_if_done()

    async def ended(self) -> None:
        """Waits for all that is under way, then closes the provider's socket. If cancelled, cancels it."""
        try:
            await self._calls.ended()
        finally:
            self._socket.close()
            self._relaying.cancel()

    async def _ask(self, key: Key, text: bytes, event_id: str | None) -> None:
        """Returns when the client's event was sent on, or refused: what comes after it must not overtake it."""
        refused: TollkeeperError | None = None
        if self._admission.stopping:
            refused = GateError("The gate is shutting down.", code="shutting_down")
        elif len(self._calls) >= self._most:
            refused = CallerError(
                f"{self._most} responses are under way on this socket, as many as may be.",
                status=429,
                type="requests",
                code="too_many_answers",
            )
        if refused is not None:
            self._sink.write(_encode(error_event(refused, event_id)))
            return

        def say() -> None:
            self._asked.append(turn)
            self._socket.send(text)

        turn = Turn(self._target, self._monotonic, say=say, cancel=self._cancel, event_id=event_id)
        self._begin(key, turn, self._model, text)
        await turn.said.wait()

    # --- one response -----------------------------------------------------------------------------------------------

    def _begin(self, key: Key, turn: Turn, model: str, said: bytes) -> None:
        named = _encode(turn.target.model)
        call = Call(
            request_id=self._new_id(),
            key=key,
            dialect=openai_realtime.DIALECT,
            method="POST",
            path="realtime",
            query=b"",
            headers=[],
            body=said,
            members={} if turn.target.model is None else {"model": Raw(named)},
            model=model,
            streamed=True,
            accepted_at=self._monotonic(),
            presence=Presence(),
            session=self._session,
            line=turn,
        )
        task = asyncio.get_running_loop().create_task(self._answer(call, turn))
        self._calls.add(task, call.presence)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._calls.remove(task)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._admission.stopping and not self.busy:
            self._close(GOING_AWAY, "The gate is shutting down.")

    async def _answer(self, call: Call, turn: Turn) -> None:
        words = Messages(self._sink)
        begun = False
        try:
            reply = await self._handle(call)
            if reply.pour is None:
                words.write(reply.body)
            else:
                begun = True
                await reply.pour(words)
        except ClientLeft:
            pass
        except TollkeeperError as error:
            if not begun:
                self._sink.write(_encode(error_event(error, turn.event_id)))
        except Exception as error:
            self._on_error(call.request_id, error)
        finally:
            if turn.id is not None and not begun:
                self._cancel(turn)
            turn.end()

    def _cancel(self, turn: Turn) -> None:
        """The provider need not go on with it."""
        if turn.id is not None:
            self._socket.send(_encode({"type": "response.cancel", "response_id": turn.id}))

    # --- from the provider ------------------------------------------------------------------------------------------

    async def _relay(self) -> None:
        while (message := await self._socket.receive()) is not None:
            try:
                if isinstance(message, str):
                    await self._heard(message.encode())
            except Exception as error:
                self._on_error(self._session, error)
            if self._sink.blocked is not None:
                await self._sink.blocked
        for turn in (*self._asked, *self._turns.values()):
            turn.fail(UpstreamError("The provider's socket ended inside a response.", code="upstream_cut"))
        if self._calls:
            await asyncio.wait(self._calls)
        code, reason = self._socket.closed or (INTERNAL, "")
        self._close(code if code == NORMAL or code in _ENDINGS else INTERNAL, reason)

    async def _heard(self, text: bytes) -> None:
        try:
            found = seen(text)
        except (msgspec.DecodeError, RecursionError):
            self._pass(text)
            return
        kind, of = found.type, found.of
        if kind == "response.created" and of is not None:
            await self._begun(of, text)
        elif of in self._turns:
            last = kind == DONE
            turn = self._turns.pop(of) if last else self._turns[of]
            await turn.feed(text, last)
        elif kind == TRANSCRIBED:
            turn = Turn(
                Target(self._target.account, self._transcriber), self._monotonic, say=None, cancel=lambda turn: None
            )
            self._begin(self._admission.key, turn, self._transcriber or self._model, b"")
            await turn.feed(text, True)
        elif kind == "error" and self._asked and found.error is not None:
            if found.error.event_id == self._asked[0].event_id:
                await self._asked.popleft().feed(text, True)
            else:
                self._pass(text)
        else:
            if kind in ("session.created", "session.updated"):
                self._transcriber = _transcriber(text) or self._transcriber
            self._pass(text)

    async def _begun(self, id: str, text: bytes) -> None:
        if self._asked:
            turn = self._asked.popleft()
            turn.id = id
        else:
            turn = Turn(self._target, self._monotonic, say=None, cancel=self._cancel)
            turn.id = id
            self._begin(self._admission.key, turn, self._model, b"")
        self._turns[id] = turn
        await turn.feed(text, False)

    def _pass(self, text: bytes) -> None:
        self._sink.write(redaction.hidden(text, self._secret))


def _transcriber(text: bytes) -> str | None:
    """The model in session.audio.input.transcription (or, before 2025-09, session.input_audio_transcription)."""
    session = msgspec.json.decode(text).get("session")
    for path in (("audio", "input", "transcription", "model"), ("input_audio_transcription", "model")):
        found = session
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found
    return None
