"""A provider's answer on its way to a client of another dialect: every event read, translated, and heard for metering."""

from collections.abc import Awaitable
from typing import cast

from tollkeeper.core.call import Reply
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.core.ports import EventReader, Headers, Sent
from tollkeeper.dialects.crossing import Crossing, Translated, TranslatedReader
from tollkeeper.flow.attempt import Attempt
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures
from tollkeeper.flow.event_stream import EventStream
from tollkeeper.flow.passage import Passage
from tollkeeper.flow.relay import Relay, RelayOptions
from tollkeeper.wire import ndjson
from tollkeeper.wire.ndjson import LineScanner
from tollkeeper.wire.sse import EventScanner

_DROPPED = b"x-tollkeeper-dropped"
_FRAMED = frozenset((b"content-type", b"content-encoding", b"content-disposition"))
_LONGEST_LIST = 4096


class TranslatedRelay(Relay):
    """As `Relay`, with nothing of the provider's bytes reaching the client."""

    def __init__(
        self,
        attempt: Attempt,
        answer: Sent,
        passage: Passage,
        counting: Counting,
        departures: Departures,
        options: RelayOptions,
    ) -> None:
        super().__init__(attempt, answer, False, counting, departures, options)
        self._passage = passage
        self._stream_type = passage.call.dialect.stream_type
        self._streams = False

    async def _refusal(self) -> Reply:
        reply = await super()._refusal()
        reply.body = self._without_secret(self._passage.crossing.refusal(self._answer.status, reply.body))
        return reply

    def _json(self) -> Awaitable[Reply]:
        return self._whole()

    async def _whole(self) -> Reply:
        answer, attempt = self._answer, self._attempt
        body, whole = await answer.read(self._options.longest_event)
        try:
            if not whole:
                raise ValueError("too long")
            found = self._read(body)
        except ValueError:
            raise UpstreamError(
                "The provider's answer is not one of its dialect.", code="upstream_bad_answer"
            ) from None
        self._hear(found.heard)
        attempt.error_said = self._word(found.error_code)
        reply = self._reply(found.body, answer.last_byte_at)
        cost = attempt.cost_header()
        if cost is not None:
            reply.headers.append((b"x-tollkeeper-cost", cost))
        if found.error_code is None:
            self._end("ok", None, lambda: found.text)
            return reply
        reply.status = found.status
        # Like a refusal by status it costs nothing, unless something was said after all.
        self._end("error", found.error_code, (lambda: found.text) if found.text else None)
        return reply

    def _read(self, body: bytes) -> Translated:
        """A client that asked for a stream gets one. Raises ValueError."""
        crossing = self._passage.crossing
        found = crossing.answer(body)
        if self._attempt.call.streamed and isinstance(crossing, Crossing):
            self._streams = True
            return Translated(crossing.streamed(body), found.heard, found.text, found.error_code)
        return found

    async def _stream(self) -> Reply:
        self._streams = True
        return await super()._stream()

    def _new_reader(self) -> EventReader:
        return cast(Crossing, self._passage.crossing).reader()

    def _events(self, reader: EventReader) -> EventStream:
        scanner = LineScanner() if self._stream_type == ndjson.MEDIA_TYPE else EventScanner()
        return EventStream(reader, scanner, may_change=True, longest=self._options.longest_event, translated=True)

    def _keep_alive(self, reader: EventReader) -> bytes:
        return cast(TranslatedReader, reader).keep_alive()

    def _closing(self, reader: EventReader) -> bytes:
        return cast(TranslatedReader, reader).close() if reader.finished else b""

    def _error_event(self, events: EventStream, error: TollkeeperError) -> bytes:
        return cast(TranslatedReader, events.reader).fail(error)

    def _headers(self, relayed: Headers) -> Headers:
        call = self._attempt.call
        headers = [
            (b"x-upstream-request-id", value) if name == b"request-id" else (name, value)
            for name, value in relayed
            if name not in _FRAMED
        ]
        array = call.framing == "array"
        kind = call.dialect.stream_type if self._streams and not array else b"application/json"
        headers.append((b"content-type", kind))
        if call.dialect.name == "anthropic_messages":
            headers.append((b"request-id", call.request_id.encode()))
        if self._passage.dropped:
            listed = ", ".join(self._passage.dropped).encode("ascii", "replace")
            headers.append((_DROPPED, listed[:_LONGEST_LIST]))
        return headers
