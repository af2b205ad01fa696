"""OpenAI's Responses API in its WebSocket mode: each `response.create` is a call, its events come back as messages.

The client's side of it is spoken here, whatever the provider speaks (platform.openai.com/docs/guides/websocket-mode): each
call goes through the engine like one over HTTP, so that limits, budgets, failover and translation are the same. Where the
provider has such sockets itself, it goes out over one.

Rule: requests of one `stream_id` are answered one after another, those of several side by side.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from tollkeeper.core import redaction
from tollkeeper.core.call import Call, Presence, Sink
from tollkeeper.core.deltas import failure_of
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Connector, Handler
from tollkeeper.dialects import openai_responses
from tollkeeper.dialects.openai_request import flag, string
from tollkeeper.dialects.openai_responses.translator import TRANSLATOR
from tollkeeper.sockets import failing
from tollkeeper.sockets.admission import GOING_AWAY, Admission, Close
from tollkeeper.sockets.lanes import Lanes, Way
from tollkeeper.sockets.turns import Turn
from tollkeeper.sockets.under_way import UnderWay
from tollkeeper.sockets.unframing import Messages
from tollkeeper.wire import json_text

_NOT_SENT = ("type", "stream_id", "generate", "background", "stream")
_BOUNDING = ("previous_response_id", "max_output_tokens", "service_tier", "store")
"""What a response that the provider began says of itself that tells what it can cost."""
_encode = msgspec.json.encode


class ResponsesSession:
    """One socket's. `take` neither waits nor raises; `leave`, then `ended`. `permit` raises CallerError where a message
    names what its sender may not use.
    """

    def __init__(
        self,
        handle: Handler,
        admission: Admission,
        sink: Sink,
        close: Close,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        most: int,
        connector: Connector,
        permit: Callable[[Call], None],
        new_id: Callable[[], str],
        monotonic: Clock,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._handle = handle
        self._admission = admission
        self._sink = sink
        self._close = close
        self._headers = [*headers, (b"content-type", b"application/json")]
        self._most = most
        self._permit = permit
        self._new_id = new_id
        self._monotonic = monotonic
        self._on_error = on_error
        self._lanes: dict[str | None, asyncio.Task[None]] = {}
        """The last request of each."""
        self._calls = UnderWay()
        self._session = new_id()
        self._provider_lanes = Lanes(connector, self, monotonic)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._calls)

    def take(self, message: str | bytes) -> None:
        """One message of the client's."""
        lane: str | None = None
        try:
            self._admission.admit()
            if isinstance(message, bytes):
                raise CallerError("Messages are text: JSON objects. This one is binary.", code="binary_message")
            members = _members(message)
            lane = string(members, "stream_id")
            kind = string(members, "type")
            if kind == "response.steer":
                text = message.encode("utf-8", "surrogatepass")
                self._permit(self._call(None, text))
                self._provider_lanes.steer(string(members, "previous_response_id"), text)
                return
            if kind != "response.create":
                raise CallerError(
                    f"There is no '{(kind or '')[:64]}' here; there are: response.create, response.steer.",
                    code="unknown_action",
                    param="type",
                )
            self._begin(members, lane)
        except TollkeeperError as error:
            self._sink.write(failing.frame(failure_of(error), lane))

    def leave(self) -> None:
        """The client is gone."""
        self._calls.leave()

    def stop(self) -> None:
        """The gate is being stopped: the socket closes after what is under way."""
        self._admission.stopping = True
        self._close_if_done()

    async def ended(self) -> None:
        """Waits for all that is under way. If cancelled, cancels it."""
        try:
            await self._calls.ended()
        finally:
            self._provider_lanes.close()

    def _begin(self, members: json_text.Members, lane: str | None) -> None:
        if len(self._calls) >= self._most:
            raise CallerError(
                f"{self._most} answers are under way on this socket, as many as may be.",
                status=429,
                type="requests",
                code="too_many_answers",
            )
        generates = "generate" not in members or flag(members, "generate")
        model = string(members, "model")
        fields = {name: value for name, value in members.items() if name not in _NOT_SENT}
        body = _encode({**fields, "stream": True} if generates else {**fields, "generate": False, "stream": True})
        way = self._provider_lanes.way(lane, model, generates)
        call = self._call(model, body)
        call.ways = way
        task = asyncio.get_running_loop().create_task(self._ask(call, way, lane, self._lanes.get(lane)))
        self._calls.add(task, call.presence)
        self._lanes[lane] = task
        task.add_done_callback(lambda task: self._over(task, lane))

    def _call(self, model: str | None, body: bytes) -> Call:
        return Call(
            request_id=self._new_id(),
            key=self._admission.key,
            dialect=openai_responses.DIALECT,
            method="POST",
            path="responses",
            query=b"",
            headers=self._headers,
            named=dict(self._headers),
            body=body,
            members=json_text.members(body),
            model=model,
            streamed=True,
            accepted_at=self._monotonic(),
            presence=Presence(),
            session=self._session,
        )

    def _over(self, task: asyncio.Task[None], lane: str | None) -> None:
        self._calls.remove(task)
        if self._lanes.get(lane) is task:
            del self._lanes[lane]
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._admission.stopping and not self.busy:
            self._close(GOING_AWAY, "The gate is shutting down.")

    async def _ask(self, call: Call, way: Way, lane: str | None, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        if call.presence.gone:
            return
        try:
            await self._answer(call, lane, _Events(self._sink, lane, lambda: way.direct))
        finally:
            way.end()

    async def _answer(self, call: Call, lane: str | None, events: "_Events") -> None:
        try:
            reply = await self._handle(call)
            if reply.status >= 400:
                failure = TRANSLATOR.read_error(reply.status, reply.body)
                self._sink.write(failing.frame(failure, lane, reply.headers))
            elif reply.pour is not None:
                await reply.pour(events)
            elif not events.hear(reply.body):
                raise UpstreamError("The provider's answer is no stream of events.", code="upstream_bad_answer")
        except ClientLeft:
            pass
        except TollkeeperError as error:
            if not events.failed:
                self._sink.write(failing.frame(failure_of(error), lane, error.headers))
        except Exception as error:
            self._on_error(call.request_id, error)
            failed = TollkeeperError(f"The gate failed. Request id: {call.request_id}.", code="internal_error")
            self._sink.write(failing.frame(failure_of(failed), lane))

    # --- from a provider's own socket: `sockets.lanes.Hearer` -------------------------------------------------------

    def begun(self, line: Turn, lane: str | None, model: str | None, event: bytes) -> None:
        """A response that the provider began by itself is a call too."""
        said = json_text.members(bytes(json_text.members(event)["response"]))
        model = model or line.target.name
        fields: dict[str, object] = {name: said[name] for name in _BOUNDING if name in said}
        call = self._call(model, _encode({"model": model, **fields, "stream": True}))
        call.line = line
        task = asyncio.get_running_loop().create_task(self._follow(call, line, lane))
        self._calls.add(task, call.presence)
        task.add_done_callback(lambda task: self._over(task, lane))

    async def _follow(self, call: Call, line: Turn, lane: str | None) -> None:
        try:
            await self._answer(call, lane, _Events(self._sink, lane, lambda: True))
        finally:
            line.close()  # where it was refused, it is not to go on
            line.end()

    def passed(self, event: bytes, secret: bytes | None) -> None:
        """An event that is no response's."""
        self._sink.write(redaction.hidden(event, secret))

    def failed(self, error: BaseException) -> None:
        self._on_error(self._session, error)


class _Events(Messages):
    """Gives each event as a message, marked with its lane; an error in the form that it has on a socket."""

    def __init__(self, sink: Sink, lane: str | None, direct: Callable[[], bool]) -> None:
        """`direct`: whether they come from a provider's own socket, and so are as they should be."""
        super().__init__(sink)
        self._direct = direct
        self._mark = b"" if lane is None else b'"stream_id":%b,' % _encode(lane)
        self._lane = lane
        self.failed = False

    def shown(self, event: bytes, data: bytes) -> bytes:
        if event.startswith(b"event: error") or b'"type":"error"' in data[:64]:
            self.failed = True
            if self._direct() and not event.startswith(b"event: error"):
                return data
            return failing.frame(TRANSLATOR.read_error(500, failing.inner(data)), self._lane)
        return b"{" + self._mark + data[1:] if self._mark and not self._direct() else data


def _members(message: str) -> json_text.Members:
    try:
        return json_text.members(message.encode("utf-8", "surrogatepass"))
    except json_text.BadJson as error:
        raise CallerError(f"We could not parse the message as JSON: {error}.", code="invalid_json") from None
