"""A provider's answer on its way to the client: the very bytes, overheard for metering.

Rule 1: chunks are forwarded as they come, whole events at once (see event_stream).
Rule 2: an end that HTTP or the dialect does not call an end is an error event and an aborted connection.
Rule 3: whoever stops first (provider, client, gate), the attempt is settled once.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core import redaction
from tollkeeper.core.call import Reply, Sink
from tollkeeper.core.errors import ClientLeft, TollkeeperError, UpstreamError
from tollkeeper.core.events import Outcome
from tollkeeper.core.limits import Positive
from tollkeeper.core.ports import EventReader, Headers, Sent
from tollkeeper.core.redaction import Pieces
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import error_answers, openai_usage
from tollkeeper.flow import headers as answer_headers
from tollkeeper.flow.attempt import Attempt
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures, Drain
from tollkeeper.flow.event_stream import EventStream
from tollkeeper.flow.passage import as_stream
from tollkeeper.flow.watch import Watch
from tollkeeper.wire import ndjson
from tollkeeper.wire.ndjson import LineScanner
from tollkeeper.wire.sse import EventScanner

_JSON = b"application/json"
_ERROR_BODY = 1024 * 1024
_SECRET_BEGINS = 12
"""Characters by which a key is known where it may have been cut short."""
_TAIL = 64 * 1024
_AFTER_DONE = 0.25
_USAGE_IN_TAIL = re.compile(rb'"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})')


class RelayOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers are relayed."""

    keep_alive: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds of silence after which a comment goes into an event stream; 0 = never. Before the first event this
    commits the status: an error then comes as an event under a 200."""
    read_whole: Positive = 4 * 1024 * 1024
    """A JSON answer of up to this many bytes is read whole and checked before it is passed on; a longer one streams."""
    longest_event: Positive = 64 * 1024 * 1024
    """A stream event longer than this is relayed unread."""
    uncounted: Positive = 64 * 1024 * 1024
    """Bytes of requests and answers that may wait to have their tokens counted before no more calls are taken."""


class Relay:
    """One answer. Made when the request has been sent; `reply` gives what the client gets."""

    def __init__(
        self,
        attempt: Attempt,
        answer: Sent,
        hide_usage: bool,
        counting: Counting,
        departures: Departures,
        options: RelayOptions,
    ) -> None:
        self._attempt = attempt
        self._answer = answer
        self._dialect = attempt.call.dialect
        self._stream_type = self._dialect.stream_type
        self._hide_usage = hide_usage
        self._counting = counting
        self._departures = departures
        self._options = options
        self._secret = redaction.sought(attempt.target.account.secret)
        self._drain: Drain | None = None
        self._cancelled = False
        self._worth_draining = True
        self._reader: EventReader | None = None
        self._ended = False

    def client_left(self) -> None:
        """Called the moment the client's connection is gone."""
        if self._ended or (self._reader is not None and self._reader.done):
            return  # nothing is left to come: whoever closes at the end has not left early
        leave = self._attempt.target.account.leave if self._worth_draining else "cancel"
        self._drain = self._departures.departed(leave, self._answer.close, self._answer.limit_to)
        self._cancelled = self._drain is None

    async def reply(self) -> Reply:
        """Waits for the answer's head and, in a stream, its first event. Raises TollkeeperError, settled."""
        try:
            await self._answer.head()
            found = self._begin()
            return found if isinstance(found, Reply) else await found
        except TollkeeperError as error:
            raise self._failed(error) from None
        except BaseException:
            self._answer.close()
            self._end("gate_stopped", "gate_stopped", _nothing)
            raise

    def _begin(self) -> Reply | Awaitable[Reply]:
        answer, attempt = self._answer, self._attempt
        status = answer.status
        attempt.begun(answer)
        if status >= 400:
            return self._refusal()
        if not 200 <= status < 300:
            raise UpstreamError(
                f"The provider answered with status {status}, a redirection, which is not followed.",
                code="upstream_redirect",
            )
        kind = answer_headers.value_of(answer.headers, b"content-type")
        if kind != _JSON:
            kind = kind.lower().partition(b";")[0].strip()
        is_json = kind == _JSON or kind.endswith(b"+json")
        if kind == self._stream_type and not self._dialect.opaque:
            if not attempt.call.streamed and self._dialect.json_answer and attempt.call.members:
                raise UpstreamError("The provider streams what was to be one answer.", code="upstream_bad_answer")
            if answer_headers.value_of(answer.headers, b"content-encoding").lower() not in (b"", b"identity"):
                raise UpstreamError("The provider's stream is compressed, unasked.", code="upstream_bad_answer")
            return self._stream()
        if is_json and not self._dialect.opaque:
            return self._json()
        if self._dialect.json_answer and attempt.call.metered:
            raise UpstreamError(
                "The provider answered with something other than JSON or an event stream.", code="upstream_bad_answer"
            )
        self._worth_draining = False  # no usage comes with it
        reply = self._reply(lambda sink: self._through(sink, b""), answer.first_byte_at)
        length = answer_headers.value_of(answer.headers, b"content-length")
        if length:
            reply.headers.append((b"content-length", length))
        return reply

    # --- whole answers ----------------------------------------------------------------------------------------------

    async def _refusal(self) -> Reply:
        answer = self._answer
        body, whole = await answer.read(_ERROR_BODY)
        if not whole:
            answer.close()
        if answer.status == 401:
            # The provider's complaint is about the gate's own key: the caller's is fine, and shown parts of ours are not.
            raise UpstreamError(
                "The provider refused this gate's credentials. Tell its operator.",
                code="upstream_auth_failed",
                retryable=False,
                headers=((b"x-should-retry", b"false"),),
            )
        if answer.status == 409 and self._dialect.needs_model:
            # openai-python 0.28 takes a 409 for "try again" and does, at once and without end; x-should-retry tells the
            # newer ones what the status no longer does.
            self._end("error", "upstream_409")
            reply = self._reply(body, answer.last_byte_at)
            reply.status = 400
            reply.headers.append((b"x-should-retry", b"true"))
            return reply
        failed = answer.status >= 500
        self._end("upstream_error" if failed else "error", f"upstream_{answer.status}")
        return self._reply(body, answer.last_byte_at)

    def _json(self) -> Reply | Awaitable[Reply]:
        body = self._answer.arrived()
        return self._whole() if body is None else self._said(body)

    async def _whole(self) -> Reply:
        body, whole = await self._answer.read(self._options.read_whole)
        if whole:
            return self._said(body)
        return self._reply(lambda sink: self._through(sink, body), self._answer.first_byte_at)

    def _said(self, body: bytes) -> Reply:
        answer, attempt, dialect = self._answer, self._attempt, self._dialect
        try:
            if dialect.json_answer and body[:1] != b"{" and not body.lstrip().startswith(b"{"):
                raise ValueError("not an object")
            self._hear(dialect.read_answer(body))
        except ValueError:
            if not dialect.json_answer:
                self._end("ok", None)
                return self._reply(body, answer.last_byte_at)
            raise UpstreamError("The provider's answer is not a JSON object.", code="upstream_bad_answer") from None
        counted = attempt.heard.reported is None and self._counts
        if counted:
            refused = error_answers.code_of(body) if dialect.json_answer else None
            if refused is not None:
                return self._refused(body, refused)
        if attempt.call.streamed:
            events = as_stream(attempt.call, body, attempt.hold.started_at / 1000)
            if events is not None:
                return self._in_events(events, lambda: dialect.answer_text(body))
        if counted:
            self._end("ok", None, lambda: dialect.answer_text(body))
            return self._reply(body, answer.last_byte_at)
        reply = self._reply(body, answer.last_byte_at)
        if not attempt.call.bare:
            cost = attempt.cost_header()
            if cost is not None:
                reply.headers.append((b"x-tollkeeper-cost", cost))
        self._end("ok", None)
        return reply

    def _in_events(self, events: bytes, delivered: Callable[[], str]) -> Reply:
        """A whole answer for a client that asked for a stream: it would read none in it, and not notice."""
        self._end("ok", None, delivered)

        async def pour(sink: Sink) -> None:
            sink.write(self._without_secret(events))

        reply = self._reply(pour, self._answer.last_byte_at)
        reply.headers = [header for header in reply.headers if header[0] != b"content-type"]
        reply.headers.append((b"content-type", self._stream_type))
        return reply

    def _refused(self, body: bytes, code: str) -> Reply:
        """An error under a success: clients would take it for an answer without anything in it."""
        self._attempt.error_said = self._word(code)
        self._end("error", code)
        reply = self._reply(body, self._answer.last_byte_at)
        reply.status = error_answers.status_of(code)
        return reply

    async def _through(self, sink: Sink, begun: bytes) -> None:
        """Bytes that are not read, but for a usage object near the end of a long JSON answer that has `begun`."""
        tail = begun
        shown = Pieces(self._secret, same_length=True)

        def push(chunk: bytes) -> bool:
            nonlocal tail
            if begun:
                tail = (tail + chunk)[-_TAIL:]
            sink.write(shown.feed(chunk))
            return sink.blocked is None

        try:
            sink.write(shown.feed(begun))
            while not await self._answer.pour(push):
                await _room(sink)
            sink.write(shown.end())
            found = _USAGE_IN_TAIL.findall(tail) if begun else []
            if found:
                self._hear(Heard(openai_usage.reported(found[-1])))
            self._end("ok", None)
        except TollkeeperError as error:
            raise self._failed(error) from None
        finally:
            if not self._ended:
                self._abandoned()

    # --- streams ----------------------------------------------------------------------------------------------------

    async def _stream(self) -> Reply:
        reader = self._reader = self._new_reader()
        events = self._events(reader)
        answer = self._answer
        silence = self._options.keep_alive or None
        first = b""
        while not events.begun():
            try:
                chunk = await answer.next_chunk(silence)
            except TimeoutError:
                first += self._keep_alive(reader)
                break
            if chunk is None:
                first += events.end()
                if events.begun() and not events.garbled:
                    break
                raise UpstreamError("The provider's stream ended before its first event.", code="upstream_bad_answer")
            first += events.feed(chunk)
            if events.garbled:
                raise UpstreamError("The provider's stream is not one of JSON events.", code="upstream_bad_answer")
        if reader.done and events.seen == 1 and _says_nothing(reader):
            raise UpstreamError("The provider's stream ended before it had begun.", code="upstream_bad_answer")
        if reader.error_code is not None and (events.seen == 1 or not reader.delivered()):
            return await self._refused_in_stream(events, first)
        return self._reply(lambda sink: self._pour_events(sink, events, first), answer.first_byte_at)

    async def _refused_in_stream(self, events: EventStream, first: bytes) -> Reply:
        """A stream that begins with an error has given its caller nothing. It is read to its end: another may be asked."""
        answer, reader = self._answer, events.reader
        try:
            while not reader.done and len(first) < _ERROR_BODY:
                chunk = await answer.next_chunk(_AFTER_DONE)
                if chunk is None:
                    first += events.end()
                    break
                first += events.feed(chunk)
        except (TimeoutError, TollkeeperError):
            pass  # the error has been said; how the rest of it ends does not matter
        self._heard(reader)
        self._attempt.error_said = self._word(reader.error_code)
        # Like a refusal by status it costs nothing, unless something was said after all.
        delivered = reader.delivered()
        self._end("error", reader.error_code, (lambda: delivered) if delivered else None)
        answer.close()
        return self._reply(first, answer.last_byte_at)

    async def _pour_events(self, sink: Sink, events: EventStream, first: bytes) -> None:
        answer, reader = self._answer, events.reader
        silence = self._options.keep_alive or None
        reservation = self._attempt.reservation
        watch = None if reservation is None else Watch(reservation, len(first))
        shown = Pieces(self._secret)

        def push(chunk: bytes) -> bool:
            out = events.feed(chunk)
            if self._drain is not None:
                self._drain.passed(events.seen)
            if out:
                sink.write(shown.feed(out))  # of a drain too: others may have asked for the same
            if watch is not None:
                watch.left -= len(chunk)
                if watch.left < 0 and not reader.done and not watch.look(events.seen, reader):
                    return False
            return not (events.garbled or reader.done) and (sink.blocked is None or self._drain is not None)

        try:
            sink.write(shown.feed(first))
            while True:
                try:
                    if await answer.pour(push, _AFTER_DONE if reader.done else silence):
                        break
                except TimeoutError:
                    if reader.done:
                        break
                    if events.at_boundary and self._drain is None:
                        sink.write(self._keep_alive(reader))
                if events.garbled:
                    break
                if watch is not None and watch.spent:
                    self._heard(reader)
                    self._end("budget_spent", "budget_exceeded", reader.delivered)
                    raise watch.reservation.stopped()
                await _room(sink)
            rest = events.end() + self._closing(reader)
            sink.write(shown.feed(rest) + shown.end())
            if events.garbled:
                raise UpstreamError("The provider's stream was garbled.", code="upstream_garbled")
            if not reader.finished:
                raise UpstreamError("The provider's stream ended before it was finished.", code="upstream_cut")
            self._heard(reader)
            self._end("error" if reader.error_code else "ok", reader.error_code, reader.delivered)
            answer.close()
        except TollkeeperError as broken:
            answer.close()
            self._heard(reader)
            error = self._failed(broken, reader)
            if not isinstance(error, ClientLeft):
                sink.write(shown.end() + self._error_event(events, error))
            raise error from None
        finally:
            if not self._ended:
                self._heard(reader)
                self._abandoned(reader)

    def _new_reader(self) -> EventReader:
        return self._dialect.reader(self._hide_usage)

    def _events(self, reader: EventReader) -> EventStream:
        scanner = LineScanner() if self._stream_type == ndjson.MEDIA_TYPE else EventScanner()
        return EventStream(reader, scanner, may_change=self._hide_usage, longest=self._options.longest_event)

    def _keep_alive(self, reader: EventReader) -> bytes:
        return self._dialect.keep_alive

    def _closing(self, reader: EventReader) -> bytes:
        """What is still to be said when the provider has said all."""
        return b""

    def _error_event(self, events: EventStream, error: TollkeeperError) -> bytes:
        return events.break_off() + self._dialect.render_error_event(error)

    @property
    def _counts(self) -> bool:
        """Whether tokens are to be counted where none are reported."""
        call, heard = self._attempt.call, self._attempt.heard
        countable = self._dialect.counts_text and call.metered and bool(call.members) and call.model is not None
        return countable and heard.once is None

    def _heard(self, reader: EventReader) -> None:
        self._hear(Heard(reader.reported, reader.model, reader.tier, reader.once))

    # --- ends -------------------------------------------------------------------------------------------------------

    def _failed(self, error: TollkeeperError, reader: EventReader | None = None) -> TollkeeperError:
        """Settles an answer that could not be relayed; returns what the door is told."""
        if self._cancelled:
            self._end("client_left", "client_left", reader.delivered if reader else _nothing)
            return ClientLeft("The client left.")
        answered = self._attempt.answer is not None and 200 <= self._attempt.answer.status < 300
        broke_off = answered and error.code != "upstream_bad_answer"
        if broke_off:
            self._end("upstream_cut", error.code, reader.delivered if reader else _nothing)
        else:
            # What the caller sent broke off or was wrong on its way: its provider has done nothing, and no wrong.
            self._end("error" if error.fault == "caller" else "upstream_error", error.code)
        self._answer.close()
        return error

    def _abandoned(self, reader: EventReader | None = None) -> None:
        """The door stopped taking chunks: the gate is being stopped, or a client left whom nobody could tell us of."""
        self._answer.close()
        outcome: Outcome = "client_left" if self._attempt.call.presence.gone else "gate_stopped"
        self._end(outcome, outcome, reader.delivered if reader else _nothing)

    def _end(self, outcome: Outcome, code: str | None, delivered: Callable[[], str] | None = None) -> None:
        """Settles, once. With `delivered`, tokens are counted where none were reported."""
        if self._ended:
            return
        self._ended = True
        code = self._word(code)
        self._attempt.call.presence.settled()  # which also ends the circle presence, relay, attempt, call, presence
        if self._drain is not None:
            self._drain.end()
            if outcome in ("ok", "upstream_cut"):
                outcome = "client_left"
        attempt = self._attempt
        if attempt.heard.reported is None and delivered is not None and self._counts:
            self._counting.settle(attempt, outcome, code, delivered())
        else:
            attempt.settle(outcome, code)

    def _reply(self, body: bytes | Callable[[Sink], Awaitable[None]], waited_until: float) -> Reply:
        attempt = self._attempt
        attempt.replying(waited_until)
        if attempt.call.bare and isinstance(body, bytes):
            return Reply(self._answer.status, self._answer.headers, self._without_secret(body))
        relayed = self._headers(answer_headers.relayed(self._answer.headers))
        if self._secret is not None and any(self._secret in value for _, value in relayed):
            relayed = [(name, self._without_secret(value)) for name, value in relayed]
        relayed += attempt.headers()
        if isinstance(body, bytes):
            return Reply(self._answer.status, relayed, self._without_secret(body))
        return Reply(self._answer.status, relayed, pour=body)

    def _headers(self, relayed: Headers) -> Headers:
        """What the client gets of the answer's headers, of those that may travel."""
        return relayed

    def _hear(self, heard: Heard) -> None:
        """Notes what the answer says of itself, less our key: it is written down and logged."""
        if self._secret is None:
            self._attempt.hear(heard)
            return
        reported = heard.reported
        if reported is not None and self._secret[:_SECRET_BEGINS] in reported.raw:
            reported = msgspec.structs.replace(reported, raw=b"{}")
        self._attempt.hear(Heard(reported, self._word(heard.model), self._word(heard.tier), self._word(heard.once)))

    def _word(self, said: str | None) -> str | None:
        """A code or a name of the provider's, unless our key is in it."""
        if said is None or self._secret is None:
            return said
        hides = self._secret[:_SECRET_BEGINS] in said.encode("utf-8", "replace")
        return redaction.REDACTED.decode() if hides else said

    def _without_secret(self, data: bytes) -> bytes:
        """Our key with the provider, which a careless one puts into errors, must not reach a client."""
        return redaction.hidden(data, self._secret)


def _says_nothing(reader: EventReader) -> bool:
    """Of one that is done: the provider ended a stream in which there was nothing but the end."""
    heard = reader.error_code or reader.model or reader.reported
    return heard is None and not reader.delivered()


async def _room(sink: Sink) -> None:
    blocked = sink.blocked
    if blocked is not None:
        await blocked


def _nothing() -> str:
    return ""
