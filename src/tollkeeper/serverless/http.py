"""API Gateway's HTTP API (payload format 2.0) to the gate's door and back: whole answers, as it has no streams.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import asyncio
import base64
import binascii
from typing import Any

from tollkeeper.core.errors import CallerError, GateError, TollkeeperError
from tollkeeper.dialects import openai_errors
from tollkeeper.server.bodies import Message
from tollkeeper.server.door import Door
from tollkeeper.serverless.running import running, seconds_left

Event = dict[str, Any]

_MOST = 6 * 1024 * 1024 - 64 * 1024
"""Bytes of an answer: Lambda takes six megabytes (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""
_TEXT = ("text/", "application/json", "application/x-ndjson", "application/openapi")


def handler(event: Event, context: Any = None) -> Event:
    """One request."""
    gate = running()
    try:
        return gate.run(lambda: answer(gate.door, event), seconds_left(context))
    except TimeoutError:
        return _refused(GateError("The answer took longer than Lambda allows.", status=504, code="deadline_exceeded"))


async def answer(door: Door, event: Event) -> Event:
    """The response that API Gateway expects."""
    try:
        scope, body = request_of(event)
    except CallerError as error:
        return _refused(error)
    given = [body]
    status, headers, pieces = 500, [], []

    async def receive() -> Message:
        if given:
            return {"type": "http.request", "body": given.pop(), "more_body": False}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], message["headers"]
        else:
            pieces.append(message.get("body", b""))

    try:
        await door(scope, receive, send)
    except ConnectionAbortedError:
        # The error stands in what was sent; there is no connection that could be dropped to show it.
        if status < 400 and not any(pieces):
            return _refused(GateError("The answer broke off.", status=502, code="upstream_cut"))
    return _response(status, headers, b"".join(pieces))


def request_of(event: Event) -> tuple[Message, bytes]:
    """The ASGI scope and the body of an event. Raises CallerError where the body is not what it says, or the event none."""
    http = event.get("requestContext", {}).get("http")
    if http is None:
        raise CallerError(
            "This function takes events of an HTTP API (payload format 2.0) or of a function URL.",
            status=501,
            code="invalid_http",
        )
    body = event.get("body") or ""
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except binascii.Error:
        raise CallerError("The body is not the base64 that it should be.", code="invalid_http") from None
    # Values of several headers with one name come in one, with commas between; cookies come by themselves.
    headers = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
        for name, value in (event.get("headers") or {}).items()
        if name.lower() not in ("content-length", "transfer-encoding")
    ]
    if event.get("cookies"):
        headers.append((b"cookie", "; ".join(event["cookies"]).encode("latin-1", "replace")))
    if data:
        headers.append((b"content-length", b"%d" % len(data)))
    path = event.get("rawPath") or "/"
    stage = event["requestContext"].get("stage", "$default")
    if stage != "$default" and path.startswith(f"/{stage}/"):
        path = path[len(stage) + 1 :]
    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": http["method"],
        "scheme": "https",
        "path": path,
        "raw_path": path.encode("latin-1", "replace"),
        "root_path": "",
        "query_string": (event.get("rawQueryString") or "").encode("latin-1", "replace"),
        "headers": headers,
        "client": (http.get("sourceIp", ""), 0),
        "server": (event["requestContext"].get("domainName", ""), 443),
    }
    return scope, data


def _response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Event:
    if len(body) > _MOST:
        return _refused(GateError("The answer is larger than Lambda can return.", status=502, code="answer_too_large"))
    named: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"set-cookie":
            cookies.append(text)
        elif name != b"content-length":
            key = name.decode("latin-1")
            named[key] = f"{named[key]}, {text}" if key in named else text
    response: Event = {"statusCode": status, "headers": named, "isBase64Encoded": False}
    if cookies:
        response["cookies"] = cookies
    if named.get("content-type", "").startswith(_TEXT):
        try:
            return {**response, "body": body.decode()}
        except UnicodeDecodeError:
            pass
    return {**response, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _refused(error: TollkeeperError) -> Event:
    headers = [(b"content-type", b"application/json"), *error.headers]
    return _response(error.status, headers, openai_errors.body(error))
