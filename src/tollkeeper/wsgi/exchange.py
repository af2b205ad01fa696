"""One request on a WSGI server's thread and its answer from the event loop: pieces pass as they come, one at a time."""

import asyncio
import http
import queue
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from tollkeeper.dialects import openai_errors
from tollkeeper.server.bodies import Message
from tollkeeper.server.door import Door
from tollkeeper.wsgi.host import shutting_down

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Environ = dict[str, Any]

_PIECE = 64 * 1024
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_READ: Message = {"type": "read"}
_FAILED: Message = {"type": "failed"}
_CUT: Message = {"type": "cut"}
# OpenAI's clients look for `error` in the data, Anthropic's for the event's name. It may come inside another event.
_LAST_EVENT = b'\n\nevent: error\ndata: {"type":"error",' + openai_errors.body(shutting_down())[1:] + b"\n\n"


class Exchange:
    """`run` is for the loop, the rest for the server's thread, which serves the loop's wishes while it waits for pieces."""

    def __init__(self, environ: Environ, loop: asyncio.AbstractEventLoop) -> None:
        self._scope = scope_of(environ)
        self._input = environ["wsgi.input"]
        self._left = _length(environ)
        self._loop = loop
        self._wishes: queue.SimpleQueue[Message] = queue.SimpleQueue()
        # Of the loop:
        self._read_whole = False
        self._gone = asyncio.Event()
        self._piece: asyncio.Future[bytes] | None = None
        self._taken: asyncio.Future[None] | None = None
        # Of the thread:
        self._untaken = False
        self._over = False
        self._events = False

    # --- in the event loop ------------------------------------------------------------------------------------------

    async def run(self, gate: Door) -> None:
        """Has the gate answer. What it raises, the server's thread gets as a broken answer."""
        try:
            await gate(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            self._wishes.put(_CUT)
            raise
        except BaseException:
            self._wishes.put(_FAILED)
            raise

    async def _receive(self) -> Message:
        if self._read_whole or self._gone.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        self._piece = self._loop.create_future()
        self._wishes.put(_READ)
        body = await self._piece
        if self._gone.is_set():
            return {"type": "http.disconnect"}
        self._read_whole = not body
        return {"type": "http.request", "body": body, "more_body": bool(body)}

    async def _send(self, message: Message) -> None:
        if self._taken is not None:
            await self._taken
        if not self._gone.is_set():
            if message["type"] == "http.response.body":
                self._taken = self._loop.create_future()
            self._wishes.put(message)

    def _arrived(self, body: bytes | None) -> None:
        """A piece of the body, empty at its end; None where the client broke off."""
        if body is None:
            self._gone.set()
        if self._piece is not None and not self._piece.done():
            self._piece.set_result(body or b"")

    def _took(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    def _leave(self) -> None:
        self._gone.set()
        self._arrived(None)
        self._took()

    # --- on the server's thread -------------------------------------------------------------------------------------

    def answer(self, start_response: StartResponse) -> Iterator[bytes]:
        """Waits for the head. Raises GateError where the gate ends before, ConnectionAbortedError where the client left."""
        head = self._next()
        if head["type"] != "http.response.start":
            raise shutting_down() if head is _CUT else ConnectionAbortedError("the client left")
        status: int = head["status"]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head["headers"]]
        self._events = any(name == "content-type" and value.startswith("text/event-stream") for name, value in headers)
        start_response(f"{status} {_PHRASES.get(status, 'Unknown')}", headers)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._over:
            if self._untaken:
                self._untaken = False
                self._tell(self._took)
            message = self._next()
            if message["type"] == "failed":
                self._over = True
                raise ConnectionAbortedError("the answer broke off")
            if message["type"] == "cut":
                self._over = True
                if self._events:
                    return _LAST_EVENT
                raise ConnectionAbortedError("the gate is shutting down")
            self._untaken = True
            self._over = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body:
                return body
        raise StopIteration

    def close(self) -> None:
        """The server is done with it: it has all, or its client has left."""
        self._over = True
        self._tell(self._leave)

    def _next(self) -> Message:
        """What the loop sends next; its wishes for pieces of the request's body are granted meanwhile."""
        while (message := self._wishes.get()) is _READ:
            self._tell(self._arrived, self._read())
        return message

    def _read(self) -> bytes | None:
        if self._left == 0:
            return b""
        try:
            body: bytes = self._input.read(_PIECE if self._left is None else min(_PIECE, self._left))
        except (OSError, ValueError):  # each server says in its own way that the client broke off
            return None
        if self._left is not None:
            self._left -= len(body)
            if not body:
                return None  # shorter than it said
        return body

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            self._over = True  # the loop has ended: nobody is there to be told


def _length(environ: Environ) -> int | None:
    """The body's size in bytes; None where it ends when reading says so."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared.isascii() and declared.isdigit():
        return int(declared)
    chunked = environ.get("wsgi.input_terminated") or environ.get("mod_wsgi.input_chunked") == "1"
    return None if chunked else 0


def scope_of(environ: Environ) -> Message:
    """The ASGI scope of a WSGI environ: the path as it was sent, where the server tells it."""
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers.append((name.replace("_", "-").lower().encode(), environ[name].encode("latin-1")))
    mount: str = environ.get("SCRIPT_NAME", "").rstrip("/")
    path: str = environ.get("PATH_INFO", "") or "/"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": path.encode("latin-1").decode("utf-8", "replace"),
        "raw_path": _raw_path(environ, mount, path),
        "root_path": mount,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (environ.get("REMOTE_ADDR", ""), 0),
        "server": (environ.get("SERVER_NAME", ""), int(environ.get("SERVER_PORT") or 0)),
    }


def _raw_path(environ: Environ, mount: str, path: str) -> bytes:
    sent = (environ.get("REQUEST_URI") or environ.get("RAW_URI") or "").partition("?")[0]
    prefix = quote(mount.encode("latin-1"))
    if sent.startswith("/") and sent.startswith(prefix):
        return str(sent[len(prefix) :] or "/").encode("latin-1")
    return quote(path.encode("latin-1")).encode()
