"""Published APIs over HTTP: POST with a JSON object, answered with JSON or with an event stream of JSON.

A stream's events are data alone, each a JSON value: strings for pieces of text. `[DONE]` is the last one, as in OpenAI's
streams; an error is OpenAI's envelope, after which the connection breaks.
"""

from collections.abc import Awaitable

from tollkeeper.apis.asked import Answered, Api, Asked, Pieces
from tollkeeper.core.call import Reply, Sink
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.ports import Keys
from tollkeeper.dialects import openai_chat, openai_errors, openai_request
from tollkeeper.server.requests import (
    Answerer,
    Request,
    call_of,
    check_framing,
    json_body,
    key_of,
    members_of,
    method_not_allowed,
)

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_POST = frozenset(("POST",))
_CHAT_PATH = "chat/completions"


def answerer(api: Api, keys: Keys, limits: DoorLimits) -> Answerer:
    """Answers the requests to `api`."""

    async def answer(request: Request) -> Reply:
        if request.method != "POST":
            raise method_not_allowed(_POST)
        key = key_of(request.named, keys)
        request.watch()
        check_framing(request)
        call = call_of(request, key, openai_chat.DIALECT, _CHAT_PATH)
        body = await json_body(request, limits, api.description.path)
        members = members_of(body)
        streamed = openai_request.flag(members, "stream") or b"text/event-stream" in request.named.get(b"accept", b"")
        return _reply(await api.answer(Asked(call, body, members, streamed)))

    return answer


def _reply(answered: Answered) -> Reply:
    pour = answered.pour
    if pour is None:
        headers = answered.headers
        if not any(name == b"content-type" for name, _ in headers):
            headers.append(_JSON)
        return Reply(answered.status, headers, answered.body)

    async def events(sink: Sink) -> None:
        try:
            await pour(_Events(sink))
        except ClientLeft:
            raise
        except TollkeeperError as error:
            sink.write(openai_errors.event(error))
            raise
        sink.write(b"data: [DONE]\n\n")

    return Reply(answered.status, [*answered.headers, _EVENTS], pour=events)


class _Events(Pieces):
    """Writes each piece as an event."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def take(self, pieces: list[bytes]) -> None:
        self._sink.write(b"data: " + b"\n\ndata: ".join(pieces) + b"\n\n")

    @property
    def blocked(self) -> Awaitable[None] | None:
        return self._sink.blocked
