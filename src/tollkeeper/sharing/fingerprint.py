"""What makes two requests the same: a hash of what decides their answer, and of nothing else; pure."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from tollkeeper.core.call import Call, Upload

_NOTHING_LEFT_OUT: frozenset[str] = frozenset()
_SAYS_NOTHING = frozenset(
    # The connection, who asks, where it comes from and how it is traced: never what the answer is.
    b"""host connection keep-alive te trailer upgrade expect transfer-encoding content-length content-encoding
    content-type accept accept-charset accept-encoding accept-language user-agent referer http-referer origin x-title
    cookie dnt priority pragma cache-control via forwarded proxy-connection proxy-authorization authorization api-key
    x-api-key x-goog-api-key openai-organization openai-project x-real-ip client-ip true-client-ip x-client-ip
    x-request-id x-correlation-id request-id traceparent tracestate baggage sentry-trace b3 x-amzn-trace-id
    x-cloud-trace-context newrelic idempotency-key""".split()
)
_BEGINNINGS = (b"x-stainless-", b"x-tollkeeper-", b"x-forwarded-", b"x-b3-", b"x-datadog-", b"sec-", b"cf-")


def digest(parts: Iterable[bytes]) -> bytes:
    """32 bytes that no other sequence of parts has."""
    found = blake2b(digest_size=32)
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()


def request_parts(call: Call, without: frozenset[str] = _NOTHING_LEFT_OUT) -> list[bytes]:
    """The request: dialect, method, path, query, model, and the JSON body but for the top-level members `without`.

    White space and the order of the top-level members say nothing. What is inside them stays in its order: a model fills
    in a schema's properties in the order in which they stand. Of an upload, whose bytes differ in every attempt by the
    form's boundary and pass unread, only what the path and the model say.
    """
    streamed = "stream" if call.streamed else ""
    head = (call.dialect.name, call.method, call.path, call.model or "", call.provider or "", streamed)
    parts = [part.encode() for part in head]
    parts.append(_query(call.query))
    if call.destination is not None:
        parts += (b"destination", call.destination.identity)
    if isinstance(call.body, Upload):
        parts.append(b"upload")
    elif call.members:
        for name in sorted(call.members):
            if name not in without:
                parts += (name.encode(), msgspec.json.format(bytes(call.members[name]), indent=-1))
    else:
        parts.append(call.body)
    return parts


def header_parts(call: Call) -> list[bytes]:
    """The headers that may decide the answer, as `openai-beta`: all but those that are known not to."""
    told = [
        name + b":" + value
        for name, value in call.headers
        if name not in _SAYS_NOTHING and not name.startswith(_BEGINNINGS)
    ]
    return sorted(told)


def _query(query: bytes) -> bytes:
    """Without the `api-version` of Azure's clients, which no provider is told."""
    if b"api-version=" not in query:
        return query
    return b"&".join(pair for pair in query.split(b"&") if not pair.startswith(b"api-version="))
