"""What came in at the gate's port, whoever is to answer it; who sent it; and its body where that is JSON."""

import math
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Raw

from tollkeeper.core.call import Call, Presence, Reply
from tollkeeper.core.errors import CallerError, TollkeeperError, invalid_key
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.ports import Dialect, Keys
from tollkeeper.dialects import openai_errors
from tollkeeper.server import bodies
from tollkeeper.server.bodies import Message, Receive
from tollkeeper.server.protocol import LEAVING, NAMED
from tollkeeper.wire import json_text
from tollkeeper.wire.counted import TooMany, check_values

NOT_JSON = ("multipart/", "image/", "audio/", "video/", "application/octet-stream")
"""How the types of bodies begin that nobody takes for JSON."""


class Request:
    """One HTTP request, its body unread."""

    __slots__ = (
        "accepted_at",
        "headers",
        "method",
        "named",
        "path",
        "presence",
        "receive",
        "refusal",
        "request_id",
        "scope",
    )

    def __init__(self, scope: Message, receive: Receive, request_id: str, accepted_at: float) -> None:
        self.scope = scope
        self.receive = receive
        self.request_id = request_id
        self.accepted_at = accepted_at
        """Monotonic seconds."""
        self.method: str = scope["method"]
        self.path: bytes = scope.get("raw_path") or scope["path"].encode()
        """As it was sent, percent-encoded, without the query."""
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.named: dict[bytes, bytes] = scope[NAMED] if NAMED in scope else dict(self.headers)
        """The same headers by name; of several with one name, the last."""
        self.presence = Presence()
        self.refusal: Callable[[TollkeeperError], bytes] = openai_errors.body
        """Writes an error's body; whoever answers may put its own form here."""

    def watch(self) -> None:
        """From here on `presence` is told at once when the client leaves, where the server can tell."""
        extensions = self.scope.get("extensions")
        if extensions is not None and LEAVING in extensions:
            extensions[LEAVING](self.presence.leave)


Answerer = Callable[[Request], Awaitable[Reply]]
"""Answers a request; raises TollkeeperError where there is nothing to pass on."""


def key_of(headers: Mapping[bytes, bytes], keys: Keys, query: bytes = b"") -> Key:
    """Who calls; `query` is given where the key may stand in it, as `key`. Raises CallerError (401)."""
    key = keys.find(secret_of(headers, query))
    if key is None:
        raise invalid_key()
    return key


def secret_of(headers: Mapping[bytes, bytes], query: bytes = b"") -> bytes:
    """What is shown as a key, whether or not it is one. Raises CallerError (401)."""
    secret = headers.get(b"authorization")
    if secret is not None:
        scheme, _, secret = secret.partition(b" ")
        if scheme.lower() != b"bearer":
            raise invalid_key()
        return secret.strip()
    secret = headers.get(b"api-key") or headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or b""
    if not secret and query:
        secret = next((pair[4:] for pair in query.split(b"&") if pair.startswith(b"key=")), b"")
    return secret


def call_of(request: Request, key: Key, dialect: Dialect, path: str, *, metered: bool = True) -> Call:
    """The call that a request makes, its body unread. Raises CallerError where one of our own headers is wrong."""
    named = request.named
    body, model, streamed = b"", None, False
    call = Call(  # by place: to find the names of so many fields costs as much as all the rest of it
        request.request_id,
        key,
        dialect,
        request.method,
        path,
        request.scope["query_string"],
        request.headers,
        body,
        model,
        streamed,
        request.accepted_at,
        request.presence,
        named,
        metered=metered,
    )
    asked = named.get(b"x-tollkeeper-provider")
    if asked is not None:
        call.provider = asked.decode("ascii", "replace")
    dry = named.get(b"x-tollkeeper-dry-run")
    if dry is not None:
        call.dry = _flag(dry)
    session = named.get(b"x-tollkeeper-session")
    if session is not None:
        call.session = session.decode("latin-1")
    allowed = named.get(b"x-tollkeeper-timeout")
    if allowed is not None:
        call.timeout = _seconds(allowed)
    return call


def check_framing(request: Request) -> None:
    """Refuses what says twice how its body is to be read (we would go by one, the provider perhaps by the other), and
    bodies that are compressed. Raises CallerError."""
    if len(request.named) != len(request.headers):
        names = [name for name, _ in request.headers]
        for name in (b"content-type", b"content-encoding"):
            if names.count(name) > 1:
                raise CallerError(f"There are several {name.decode()} headers.", code="invalid_http")
    if request.named.get(b"content-encoding", b"identity").lower() != b"identity":
        raise CallerError(
            "Compressed request bodies are not accepted.", status=415, code="unsupported_content_encoding"
        )


def kind_of(request: Request) -> str:
    """The body's media type with its parameters, in lower case; "" where none was said."""
    return request.named.get(b"content-type", b"").decode("latin-1").lower()


async def json_body(request: Request, limits: DoorLimits, shown: str) -> bytes:
    """The whole body, which may be JSON. `shown` is the path to name. Raises CallerError (413, 415) and ClientLeft."""
    if kind_of(request).startswith(NOT_JSON):
        raise unsupported(shown, "application/json")
    bodies.declared(request.named.get(b"content-length"), limits.json_body)
    return counted(await bodies.whole(request.receive, limits.json_body), limits.json_values)


def counted(body: bytes, most: int) -> bytes:
    """The JSON body, where no more than so many values can be in it. Raises CallerError (413)."""
    try:
        check_values(body, most)
    except TooMany as error:
        raise CallerError(f"The request body cannot be read: {error}.", status=413, code="request_too_large") from None
    return body


def members_of(body: bytes) -> dict[str, Raw]:
    """The top-level members of a JSON object. Raises CallerError (invalid_json)."""
    try:
        return json_text.members(body)
    except json_text.BadJson as error:
        raise CallerError(f"We could not parse the JSON body of your request: {error}.", code="invalid_json") from None


def unsupported(shown: str, wanted: str) -> CallerError:
    """The body is of a kind that is not taken here."""
    return CallerError(f"{shown} takes {wanted}.", status=415, code="unsupported_media_type")


def method_not_allowed(allowed: frozenset[str]) -> CallerError:
    """405, with what would be allowed."""
    return CallerError(
        "Not allowed to use this method here.",
        status=405,
        code="method_not_allowed",
        headers=((b"allow", ", ".join(sorted(allowed)).encode()),),
    )


def _flag(given: bytes) -> bool:
    """A dry run that was misspelt would be a real one: so it is refused."""
    if given in (b"1", b"0"):
        return given == b"1"
    raise CallerError("x-tollkeeper-dry-run is 1, 0, or not there.", code="invalid_value", param="x-tollkeeper-dry-run")


def _seconds(given: bytes) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise CallerError(
            "Invalid x-tollkeeper-timeout: expected seconds, more than 0.",
            code="invalid_value",
            param="x-tollkeeper-timeout",
        )
    return seconds
